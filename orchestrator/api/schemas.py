"""Shapes and field types that several resources share.

Bodies take exactly the fields they know, in camelCase; an unknown one is refused, so that a typo is no silent no-op.
"""

import re
import unicodedata
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from bot_runtime.contract import BOT_ID_PATTERN, SERVER_NAME_PATTERN
from orchestrator.errors import NotFound

ItemT = TypeVar("ItemT")

DEFAULT_PAGE = 50
MAX_PAGE = 200
MAX_NAME = 64

# Text direction overrides make one name look like another.
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNSEEN = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})


class RequestBody(BaseModel):
    """Base of request bodies."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, allow_inf_nan=False, str_max_length=100_000
    )


class ResponseBody(BaseModel):
    """Base of answers."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, frozen=True)


class Page(ResponseBody, Generic[ItemT]):
    """A part of a list."""

    items: list[ItemT]
    next: str | None = Field(default=None, description="Send it as `next` to go on; null at the end.")


class FieldProblem(ResponseBody):
    """One part of a request that cannot be accepted."""

    in_: str = Field(alias="in", description="`body`, `query`, `path` or `header`")
    field: str
    message: str


class Problem(ResponseBody):
    """Every error of the API (RFC 9457, `application/problem+json`)."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Conflict"])
    status: int = Field(examples=[409])
    code: str = Field(description="Stable, for programs.", examples=["not-approved"])
    detail: str = Field(description="A sentence for people.")
    retry_after: int | None = Field(default=None, description="Milliseconds to wait, with 429.")
    errors: list[FieldProblem] | None = Field(default=None, description="The fields at fault, with 422.")


def problems(descriptions: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    """The errors that a route answers with besides 401 and 422, for its documentation."""
    return {status: {"description": text} for status, text in descriptions.items()}


def _name(value: str) -> str:
    value = unicodedata.normalize("NFC", value.strip())
    if any(char in _DIRECTION or unicodedata.category(char) in _UNSEEN for char in value):
        raise ValueError("must not hold control characters")
    if not 1 <= len(value) <= MAX_NAME:
        raise ValueError(f"must have 1 to {MAX_NAME} characters")
    return value


def phone_number(value: str) -> str:
    """The digits of a phone number in international form. Raises ValueError for anything else."""
    digits = value.translate({ord(char): None for char in " -.()/"}).removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and 7 <= len(digits) <= 15):
        raise ValueError("must be a phone number in international form, 7 to 15 digits, such as +49 170 1234567")
    if digits.startswith("0"):
        raise ValueError("must begin with the country code, without zeros in front")
    return digits


def no_nul(value: str) -> str:
    """Text that Postgres can hold. Raises ValueError otherwise."""
    if "\0" in value:
        raise ValueError("must not hold NUL characters")
    return value


Name = Annotated[str, AfterValidator(_name), Field(examples=["Support"], max_length=4 * MAX_NAME)]
PhoneNumber = Annotated[
    str,
    Field(max_length=32, description="International form; kept as digits.", examples=["+49 170 1234567"]),
    AfterValidator(phone_number),
]
BotIdField = Annotated[str, Field(pattern=BOT_ID_PATTERN, examples=["bot-123"])]
ServerNameField = Annotated[str, Field(pattern=SERVER_NAME_PATTERN, examples=["server1"])]

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Items a page has at most")]


def _bot_id(value: Annotated[str, Path(alias="id", description="The bot's id", examples=["bot-123"])]) -> str:
    # An id that no bot can have is one that no bot has; and nothing odd reaches Postgres.
    if re.fullmatch(BOT_ID_PATTERN, value) is None:
        raise NotFound(f"there is no bot {value!r}")
    return value


BotId = Annotated[str, Depends(_bot_id)]
