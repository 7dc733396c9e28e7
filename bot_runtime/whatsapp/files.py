"""Reads the size of an image or the length of a voice message from a file without decoding it. Pure.

Phones lay out a chat with these values before they fetch its files. There are no thumbnails: Pillow takes 8 MiB per bot
and decompresses a crafted image of a few kilobytes to gigabytes; phones show the image once they have fetched it.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

Buffer = bytes | memoryview
_OPUS_PER_SECOND = 48000
_LAST_PAGE_WITHIN = 65536 + 282
"""The maximum size of an Ogg page."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Width and height in pixels, length in seconds; 0 where unknown."""

    width: int = 0
    height: int = 0
    seconds: int = 0
    animated: bool = False


def read_facts(data: Buffer) -> Facts:
    """The facts of `data`, a whole file; empty for unknown formats."""
    head = bytes(data[:32])
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 24:
        return Facts(*struct.unpack(">II", head[16:24]))
    if head.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return _webp(head)
    if head.startswith(b"OggS"):
        return _opus(bytes(data[-_LAST_PAGE_WITHIN:]))
    return Facts()


def _jpeg(data: Buffer) -> Facts:
    for marker, start in _jpeg_segments(data):
        frame = 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)
        if frame and len(data) >= start + 7:
            height, width = struct.unpack(">HH", bytes(data[start + 3 : start + 7]))
            return Facts(width, height)
    return Facts()


def _jpeg_segments(data: Buffer) -> Iterator[tuple[int, int]]:
    """(marker, start) of the segments before the image data."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        yield data[at + 1], at + 2
        at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))


def _webp(head: bytes) -> Facts:
    if head[12:16] == b"VP8X" and len(head) >= 30:
        width, height = (1 + int.from_bytes(head[at : at + 3], "little") for at in (24, 27))
        return Facts(width, height, animated=bool(head[20] & 0x02))
    if head[12:16] == b"VP8 " and len(head) >= 30:
        width, height = struct.unpack("<HH", head[26:30])
        return Facts(width & 0x3FFF, height & 0x3FFF)
    if head[12:16] == b"VP8L" and len(head) >= 25:
        bits = int.from_bytes(head[21:25], "little")
        return Facts(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    return Facts()


def _opus(tail: bytes) -> Facts:
    at = tail.rfind(b"OggS")
    if at < 0 or len(tail) < at + 14:
        return Facts()
    (samples,) = struct.unpack("<q", tail[at + 6 : at + 14])
    return Facts(seconds=max(0, min(samples // _OPUS_PER_SECOND, 86400)))
