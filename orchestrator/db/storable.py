"""Removes from external values what Postgres cannot store."""

from typing import Any


def storable(value: Any) -> Any:
    """The value with NUL characters replaced, which Postgres stores neither in text nor in JSON."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value
