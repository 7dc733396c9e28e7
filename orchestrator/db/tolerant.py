"""Reads values from Postgres that Python does not know, so that one bad value does not fail the rows of all bots.

Postgres stores years before 1 and after 9999 and infinite times, JSON of any depth and integers of any length. Nothing
of Botdock writes them, but earlier versions did, and so can anyone with SQL. Such a time is read as the earliest or
latest that there is; such JSON as an object that says so.
"""

import json
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format

MAX_DEPTH = 100
"""Responses with deeper JSON cannot be encoded."""
MAX_SHOWN_CHARACTERS = 1000
EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

_TIMESTAMPTZ = psycopg.adapters.types["timestamptz"].oid
_TimestampLoader = psycopg.adapters.get_loader(_TIMESTAMPTZ, Format.TEXT)


class AnyTimestampLoader(Loader):
    """Reads a `timestamptz`, whatever its year."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        assert _TimestampLoader is not None  # noqa: S101 - psycopg has one
        self._loader = _TimestampLoader(oid, context)

    def load(self, data: Buffer) -> datetime:
        """The time; the earliest or latest that there is, if Python does not know it."""
        try:
            found: datetime = self._loader.load(data)
        except psycopg.DataError:
            text = bytes(data)
            return EARLIEST if text.endswith(b"BC") or text.startswith(b"-") else LATEST
        return found


def register(connection: Any) -> None:
    """Have a connection read any time."""
    connection.adapters.register_loader("timestamptz", AnyTimestampLoader)


def read_json(text: str | bytes) -> Any:
    """A value that Postgres stores as JSON; `{"unreadable": …}` if it is too deep, or an integer is too long."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _unreadable(text)
    # Counting is much faster than walking through the value, and settles it for nearly all of them.
    opening = text.count(b"[") + text.count(b"{") if isinstance(text, bytes) else text.count("[") + text.count("{")
    return _unreadable(text) if opening > MAX_DEPTH and _is_too_deep(value) else value


def as_object(value: Any) -> dict[str, Any]:
    """A value of a column whose values are JSON objects; an object with it, if it is none."""
    return value if isinstance(value, dict) else {"unreadable": value}


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True


def _unreadable(text: str | bytes) -> dict[str, Any]:
    shown = text.decode(errors="replace") if isinstance(text, bytes) else text
    return {"unreadable": shown[:MAX_SHOWN_CHARACTERS]}
