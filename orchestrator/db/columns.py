"""Columns that several tables have."""

from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field


def created() -> Any:
    """A timestamp that Postgres sets when the row is created."""
    return Field(
        default=None,
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=func.now()),
    )


def timestamp() -> Any:
    """A timestamp; None until it is known."""
    return Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))


def json_object() -> Any:
    """A JSON object, empty by default."""
    return Field(default_factory=dict, sa_column=Column(JSONB, nullable=False, server_default=text("'{}'::jsonb")))


def counter() -> Any:
    """A number that only increases."""
    return Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
