"""Read Go string tables from a 64-bit little-endian ELF shared library (standard library only).

Go stores a string as a header of two words, address and length. In a shared library the addresses are filled in at load
time from relative relocations, so the relocation table leads from a header to its text.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_LOAD_SEGMENT = 1
_RELOCATIONS_WITH_ADDEND = 4
#: "Relative" relocation types: x86-64 and AArch64.
_RELATIVE = {8, 1027}
WORD = 8
HEADER = 2 * WORD


class ElfError(Exception):
    """The file is not a shared library with the expected structure."""


@dataclass(frozen=True, slots=True)
class _Segment:
    offset: int
    address: int
    size: int


class Library:
    """A parsed shared library; addresses are those before loading."""

    def __init__(self, data: bytes) -> None:
        if data[:6] != b"\x7fELF\x02\x01":
            raise ElfError("not a 64-bit little-endian ELF file")
        self._data = data
        program_headers, section_headers = struct.unpack_from("<QQ", data, 32)
        program_size, programs, section_size, sections = struct.unpack_from("<HHHH", data, 54)
        self._segments = []
        for index in range(programs):
            kind, _, offset, address, _, size = struct.unpack_from(
                "<IIQQQQ", data, program_headers + index * program_size
            )
            if kind == _LOAD_SEGMENT:
                self._segments.append(_Segment(offset, address, size))
        self._targets: dict[int, int] = {}
        for index in range(sections):
            header = section_headers + index * section_size
            kind = struct.unpack_from("<I", data, header + 4)[0]
            if kind == _RELOCATIONS_WITH_ADDEND:
                offset, size = struct.unpack_from("<QQ", data, header + 24)
                for position, info, addend in struct.iter_unpack("<QQq", data[offset : offset + size]):
                    if info & 0xFFFFFFFF in _RELATIVE:
                        self._targets[position] = addend

    def _offset(self, address: int) -> int:
        for segment in self._segments:
            if segment.address <= address < segment.address + segment.size:
                return segment.offset + address - segment.address
        raise ElfError(f"address {address:#x} is in no segment")

    def _address(self, offset: int) -> int:
        for segment in self._segments:
            if segment.offset <= offset < segment.offset + segment.size:
                return segment.address + offset - segment.offset
        raise ElfError(f"offset {offset:#x} is in no segment")

    def word(self, address: int) -> int:
        """The 8-byte integer at an address."""
        return int(struct.unpack_from("<Q", self._data, self._offset(address))[0])

    def string(self, header: int) -> str:
        """The string whose header is at this address."""
        length = self.word(header + WORD)
        if length == 0:
            return ""
        start = self._offset(self._targets[header])
        return self._data[start : start + length].decode()

    def string_headers(self, text: str) -> list[int]:
        """The addresses of all headers of strings equal to `text`."""
        encoded = text.encode()
        addresses = set()
        position = self._data.find(encoded)
        while position >= 0:
            addresses.add(self._address(position))
            position = self._data.find(encoded, position + 1)
        candidates = (position for position, target in self._targets.items() if target in addresses)
        return [position for position in candidates if self.word(position + WORD) == len(encoded)]

    def pointers_to(self, address: int) -> list[int]:
        """The addresses of all words that point to `address` after loading."""
        return [position for position, target in self._targets.items() if target == address]

    def target(self, position: int) -> int:
        """The address that the word at this position points to after loading; ElfError if it is not a pointer."""
        if position not in self._targets:
            raise ElfError(f"no pointer at {position:#x}")
        return self._targets[position]
