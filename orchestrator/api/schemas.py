"""Schemas and field types that several resources share.

Request bodies accept exactly the documented fields, in camelCase; unknown fields are rejected, so that a typo is never
ignored silently. Types are strict: `false` is not a number, and `"true"` is not a boolean.
"""

import re
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from bot_runtime.contract import BOT_ID_PATTERN
from orchestrator.errors import NotFoundError

ItemT = TypeVar("ItemT")

DEFAULT_PAGE = 50
MAX_PAGE = 200


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


Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Maximum number of items per page")]


def _bot_id(value: Annotated[str, Path(alias="id", description="The bot's id", examples=["bot-123"])]) -> str:
    # A malformed id cannot exist, and must not reach Postgres.
    if re.fullmatch(BOT_ID_PATTERN, value) is None:
        raise NotFoundError(f"bot {value!r} not found")
    return value


BotId = Annotated[str, Depends(_bot_id)]
