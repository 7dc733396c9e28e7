"""Convert dataclasses to JSON and back by their type hints, for the state file; bytes become base64."""

from __future__ import annotations

import base64
import dataclasses
import functools
import types
import typing
from enum import Enum
from typing import Any

_HANDLED_AS_IS = (str, int, float, bool, type(None))


def to_json(value: Any) -> Any:
    """Convert dataclasses, lists, dicts, bytes and plain values to JSON data."""
    if dataclasses.is_dataclass(value):
        return {item.name: to_json(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, _HANDLED_AS_IS):
        return value
    raise TypeError(f"{type(value).__name__} cannot be stored in the state file")


def from_json(kind: Any, data: Any) -> Any:
    """The reverse of `to_json` for a value of type `kind`; missing fields get their defaults."""
    if dataclasses.is_dataclass(kind):
        cls = typing.cast("Any", kind)
        hints = _hints(cls)
        return cls(**{name: from_json(hints[name], item) for name, item in data.items()})
    if kind is bytes:
        return base64.b64decode(data)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(data)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is dict:
        return {arguments[0](key): from_json(arguments[1], item) for key, item in data.items()}
    if origin is list:
        return [from_json(arguments[0], item) for item in data]
    if origin is types.UnionType:
        inner = next(argument for argument in arguments if argument is not type(None))
        return None if data is None else from_json(inner, data)
    return data


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)
