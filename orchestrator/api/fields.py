"""Field types that several request bodies share.

What a field accepts is stated in the OpenAPI document as a pattern, and checked here with the same pattern, so that
both cannot differ and the error message can be written for people.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from bot_runtime.contract import BOT_ID_PATTERN, SERVER_NAME_PATTERN

MAX_NAME = 64

_SEPARATORS = "[ .()/-]*"
_NUMBER = rf"\+?{_SEPARATORS}[1-9](?:{_SEPARATORS}[0-9]){{6,14}}{_SEPARATORS}"
# Control characters, line separators, and text direction overrides, which make one name look like another.
_HIDDEN = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_SPACES = r" \xa0\u1680\u2000-\u200a\u202f\u205f\u3000\ufeff"

NAME_PATTERN = f"^[^{_HIDDEN}]*[^{_HIDDEN}{_SPACES}][^{_HIDDEN}]*$"
PHONE_NUMBER_PATTERN = f"^{_SEPARATORS}{_NUMBER}$"
URL_PATTERN = r"^https?://[!\x22$-.0->A-\[\]-~]+(:[0-9]{1,5})?([/?][!-\[\]-~]*)?$"


@dataclass(frozen=True, slots=True)
class Matches:
    """A string that must match a pattern; `message` says so in words."""

    pattern: str
    message: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "pattern": self.pattern}

    def check(self, value: str) -> str:
        """The value itself. Raises ValueError if it does not match."""
        if re.search("[\ud800-\udfff]", value):  # an escape in JSON can be half of a character
            raise ValueError("must be valid Unicode")
        # `$` of Python, unlike that of JSON Schema, also matches before a final newline.
        if re.fullmatch(self.pattern.removesuffix("$"), value) is None:
            raise ValueError(self.message)
        return value


_PHONE_NUMBER = Matches(
    PHONE_NUMBER_PATTERN,
    "must be a phone number in international format with 7 to 15 digits, starting with the country code, "
    "such as +49 170 1234567",
)


def phone_number(value: str) -> str:
    """The digits of a phone number in international format. Raises ValueError for anything else."""
    return re.sub("[^0-9]", "", _PHONE_NUMBER.check(value))


def _integer(value: Any) -> Any:
    # JSON Schema, unlike strict types in Python, takes 16.0 for an integer.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _normalized(value: str) -> str:
    value = unicodedata.normalize("NFC", value.strip())
    if len(value) > MAX_NAME:
        raise ValueError(f"must have at most {MAX_NAME} characters")
    return value


Integral = BeforeValidator(_integer)
PlainText = Annotated[str, Matches(r"^[^\x00]*$", "must not contain NUL characters")]
VisibleText = Annotated[str, Matches(f"^[^{_HIDDEN}{_SPACES}]*$", "must contain visible characters only")]
Name = Annotated[
    str,
    Field(examples=["Support"], min_length=1, max_length=MAX_NAME),
    Matches(NAME_PATTERN, "must contain visible characters, and no control characters"),
    AfterValidator(_normalized),
]
PhoneNumber = Annotated[
    str,
    Field(max_length=32, description="International format; stored as digits.", examples=["+49 170 1234567"]),
    AfterValidator(phone_number),
    Field(json_schema_extra={"pattern": PHONE_NUMBER_PATTERN}),
]
Url = Annotated[
    str,
    Field(examples=["https://example.com/hook"]),
    # Every reader of a bot sees it, so it must not contain credentials.
    Matches(URL_PATTERN, "must be an http:// or https:// URL without user and password"),
]
BotIdField = Annotated[str, Field(pattern=BOT_ID_PATTERN, examples=["bot-123"])]
ServerNameField = Annotated[str, Field(pattern=SERVER_NAME_PATTERN, examples=["server1"])]
