"""Removes from external values what Postgres cannot store, or what could not be read from it again."""

from datetime import UTC, datetime
from typing import Any

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 1, 1, tzinfo=UTC)


def storable_time(value: datetime | None, *, before: datetime = _LATEST) -> bool:
    """Whether a time can be read again once it is stored: Postgres knows years that Python does not."""
    return value is None or (value.tzinfo is not None and _EARLIEST <= value < before)


def storable(value: Any) -> Any:
    """The value with NUL characters replaced, which Postgres stores neither in text nor in JSON."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value
