"""What Postgres can hold of values from outside."""

from typing import Any


def storable(value: Any) -> Any:
    """The value without NUL characters, which Postgres keeps neither in text nor in JSON."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value
