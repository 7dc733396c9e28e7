"""The subset of the protobuf wire format that WhatsApp's messages need: varints and length-delimited fields.

The simulator reads and writes about a dozen small messages. Naming their field numbers where they are used takes less
code than generated classes and avoids the protobuf runtime.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

Value = int | float | bytes | str | None

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}


class WireError(ValueError):
    """The bytes are not a valid protobuf message."""


def encode(*fields: tuple[int, Value]) -> bytes:
    """Serialize fields given as (number, value), in this order. None values are skipped; floats become doubles."""
    out = bytearray()
    for number, value in fields:
        if value is None:
            continue
        if isinstance(value, int):
            out += _varint(number << 3 | _VARINT) + _varint(value)
        elif isinstance(value, float):
            out += _varint(number << 3 | _FIXED64) + struct.pack("<d", value)
        else:
            raw = value.encode() if isinstance(value, str) else value
            out += _varint(number << 3 | _BYTES) + _varint(len(raw)) + raw
    return bytes(out)


class Fields:
    """The fields of a parsed message; accessors for single values return the last one, as protobuf specifies."""

    def __init__(self, values: Iterable[tuple[int, int | bytes]]) -> None:
        self._all = list(values)
        self._values = dict(self._all)

    def __contains__(self, number: int) -> bool:
        return number in self._values

    @property
    def numbers(self) -> set[int]:
        """The numbers of the fields that are present."""
        return set(self._values)

    def repeated(self, number: int) -> list[bytes]:
        """All values of a repeated bytes, string or message field."""
        return [value for found, value in self._all if found == number and isinstance(value, bytes)]

    def double(self, number: int) -> float:
        """A double field; 0 if absent."""
        return float(struct.unpack("<d", struct.pack("<Q", self.number(number)))[0])

    def number(self, number: int, default: int = 0) -> int:
        """An integer field; the default if absent."""
        value = self._values.get(number, default)
        if not isinstance(value, int):
            raise WireError(f"field {number} is not a number")
        return value

    def raw(self, number: int) -> bytes:
        """A bytes field; empty if absent."""
        value = self._values.get(number, b"")
        if not isinstance(value, bytes):
            raise WireError(f"field {number} is not bytes")
        return value

    def text(self, number: int) -> str:
        """A string field; empty if absent."""
        return self.raw(number).decode(errors="replace")

    def message(self, number: int) -> Fields:
        """An embedded message; without fields if absent."""
        return decode(self.raw(number))


def decode(data: bytes) -> Fields:
    """Parse a message; WireError if it is malformed."""
    values: list[tuple[int, int | bytes]] = []
    position = 0
    while position < len(data):
        key, position = _read_varint(data, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = _read_varint(data, position)
            values.append((number, value))
            continue
        if kind == _BYTES:
            size, position = _read_varint(data, position)
        elif kind in _FIXED_SIZES:
            size = _FIXED_SIZES[kind]
        else:
            raise WireError(f"unknown wire type {kind}")
        if position + size > len(data):
            raise WireError("a field is longer than the message")
        chunk = data[position : position + size]
        values.append((number, chunk if kind == _BYTES else int.from_bytes(chunk, "little")))
        position += size
    return Fields(values)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise WireError("the message ends inside a number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise WireError("a number has more than ten bytes")
