"""Reads the top level of a serialised protobuf message in place.

Python's protobuf would copy all of it, several times over for one with many small parts.
"""

from collections.abc import Iterator


def fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Tag and value of each field, in order. All fields must be strings, bytes or messages."""
    at = 0
    while at < len(message):
        tag, size, shift = message[at], 0, 0
        while True:
            at += 1
            size |= (message[at] & 0x7F) << shift
            shift += 7
            if message[at] < 0x80:
                break
        start, at = at + 1, at + 1 + size
        yield tag, message[start:at]


def tag_of(field: int) -> int:
    """The tag of a field with a length, by its number (1 to 15)."""
    return field << 3 | 2
