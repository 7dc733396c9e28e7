"""Keeps events within the limits of the contract: strangers decide how long the texts in them are."""

from typing import Any

import msgspec

from bot_runtime.contract import MAX_EVENT_BYTES, shortened

MAX_DATA_BYTES = MAX_EVENT_BYTES - 512
"""Of the data of an event as JSON; the rest is for its number, type and timestamp."""
_LENGTHS = (16_384, 4_096, 1_024, 256)
"""Longer than any identifier."""


def encode(data: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """The data of an event and its JSON; if it is too large, with shortened texts.

    A text of 64 KiB exceeds the limit only if it consists of characters that take six bytes each in JSON.
    """
    encoded = msgspec.json.encode(data)
    for length in _LENGTHS:
        if len(encoded) <= MAX_DATA_BYTES:
            return data, encoded
        data = _shortened(data, length)
        encoded = msgspec.json.encode(data)
    if len(encoded) <= MAX_DATA_BYTES:
        return data, encoded
    data = {"omitted": "the data of this event was too large"}
    return data, msgspec.json.encode(data)


def _shortened(value: Any, length: int) -> Any:
    match value:
        case str():
            return shortened(value, length)
        case dict():
            return {key: _shortened(item, length) for key, item in value.items()}
        case list() | tuple():
            return [_shortened(item, length) for item in value]
    return value
