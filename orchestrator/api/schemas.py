"""Schemas and field types that several resources share.

Request bodies accept exactly the documented fields, in camelCase; unknown fields are rejected, so that a typo is never
ignored silently. Types are strict: `false` is not a number, and `"true"` is not a boolean.
"""

import re
import unicodedata
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from bot_runtime.contract import BOT_ID_PATTERN, SERVER_NAME_PATTERN
from orchestrator.errors import NotFoundError

ItemT = TypeVar("ItemT")

DEFAULT_PAGE = 50
MAX_PAGE = 200
MAX_NAME = 64

# Text direction overrides can make one name look like another.
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNSEEN = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})


class RequestBody(BaseModel):
    """Base of request bodies."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        str_max_length=100_000,
    )


class ResponseBody(BaseModel):
    """Base of response bodies."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, frozen=True)


class Page(ResponseBody, Generic[ItemT]):
    """A page of a list."""

    items: list[ItemT]
    next: str | None = Field(
        default=None, description="Cursor of the next page: send it as `next`; null on the last page."
    )


class FieldProblem(ResponseBody):
    """An invalid field of a request."""

    in_: str = Field(alias="in", description="`body`, `query`, `path` or `header`")
    field: str
    message: str


class Problem(ResponseBody):
    """Every error of the API (RFC 9457, `application/problem+json`)."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Conflict"])
    status: int = Field(examples=[409])
    code: str = Field(description="Stable error code, for programs.", examples=["not-approved"])
    detail: str = Field(description="Error message, for people.")
    retry_after: int | None = Field(default=None, description="Milliseconds to wait before a retry, with 429.")
    errors: list[FieldProblem] | None = Field(default=None, description="The invalid fields, with 422.")


def problems(descriptions: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    """Documents the error responses of a route, in addition to those that every route has."""
    return {status: {"description": text} for status, text in descriptions.items()}


def _name(value: str) -> str:
    value = unicodedata.normalize("NFC", value.strip())
    if any(char in _DIRECTION or unicodedata.category(char) in _UNSEEN for char in value):
        raise ValueError("must not contain control characters")
    if not 1 <= len(value) <= MAX_NAME:
        raise ValueError(f"must have 1 to {MAX_NAME} characters")
    return value


def phone_number(value: str) -> str:
    """The digits of a phone number in international format. Raises ValueError for anything else."""
    digits = value.translate({ord(char): None for char in " -.()/"}).removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and 7 <= len(digits) <= 15):
        raise ValueError("must be a phone number in international format with 7 to 15 digits, such as +49 170 1234567")
    if digits.startswith("0"):
        raise ValueError("must start with the country code, without leading zeros")
    return digits


def no_nul(value: str) -> str:
    """Text that Postgres can store. Raises ValueError otherwise."""
    if "\0" in value:
        raise ValueError("must not contain NUL characters")
    return value


Name = Annotated[str, AfterValidator(_name), Field(examples=["Support"], max_length=4 * MAX_NAME)]
PhoneNumber = Annotated[
    str,
    Field(max_length=32, description="International format; stored as digits.", examples=["+49 170 1234567"]),
    AfterValidator(phone_number),
]
BotIdField = Annotated[str, Field(pattern=BOT_ID_PATTERN, examples=["bot-123"])]
ServerNameField = Annotated[str, Field(pattern=SERVER_NAME_PATTERN, examples=["server1"])]

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Maximum number of items per page")]


def _bot_id(value: Annotated[str, Path(alias="id", description="The bot's id", examples=["bot-123"])]) -> str:
    # A malformed id cannot exist, and must not reach Postgres.
    if re.fullmatch(BOT_ID_PATTERN, value) is None:
        raise NotFoundError(f"bot {value!r} not found")
    return value


BotId = Annotated[str, Depends(_bot_id)]
