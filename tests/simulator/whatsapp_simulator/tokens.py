"""The token tables of the binary XML, read from the neonize shared library so that they need not be copied here."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

from whatsapp_simulator.elf import HEADER, WORD, ElfError, Library

SINGLE_COUNT = 236
DOUBLE_TABLES = 4
DOUBLE_COUNT = 256
_FIRST_SINGLE = "xmlstreamstart"
_FIRST_DOUBLE = ("read-self", "active")


class TokenError(Exception):
    """No usable token tables; the message states where they were searched."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """`single[1..235]` are encoded as one byte, `double[0..3][0..255]` as two."""

    single: tuple[str, ...]
    double: tuple[tuple[str, ...], ...]

    def to_json(self) -> str:
        """The JSON format that `load` reads."""
        return json.dumps({"single": self.single, "double": self.double}, ensure_ascii=True)


def load(path: Path) -> Tokens:
    """Read tables that `Tokens.to_json` wrote."""
    try:
        raw = json.loads(path.read_text())
        return _checked(Tokens(tuple(raw["single"]), tuple(tuple(table) for table in raw["double"])))
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise TokenError(f"{path}: no readable token tables ({exc})") from exc


def extract(library: Path) -> Tokens:
    """Find the tables in a neonize shared library (amd64 or arm64)."""
    try:
        elf = Library(library.read_bytes())
        return _checked(Tokens(_single(elf), _double(elf)))
    except (ElfError, OSError, KeyError, UnicodeDecodeError) as exc:
        raise TokenError(f"{library}: no token tables found ({exc})") from exc


def default() -> Tokens:
    """The tables in `tokens.json` in this package, otherwise those of the installed neonize."""
    stored = Path(__file__).with_name("tokens.json")
    if stored.exists():
        return load(stored)
    library = installed_library()
    if library is None:
        raise TokenError(f"found neither {stored} nor an installed neonize; create the file with the `tokens` command")
    return extract(library)


def installed_library() -> Path | None:
    """The shared library of the neonize in this environment, found without importing it."""
    found = importlib.util.find_spec("neonize")
    for folder in (found.submodule_search_locations or []) if found else []:
        for library in sorted(Path(folder).glob("neonize-linux-*.so")):
            return library
    return None


def _single(elf: Library) -> tuple[str, ...]:
    for header in elf.string_headers(_FIRST_SINGLE):
        start = header - HEADER
        if elf.word(start + WORD) == 0:
            return tuple(elf.string(start + index * HEADER) for index in range(SINGLE_COUNT))
    raise ElfError(f"no table that starts with {_FIRST_SINGLE!r}")


def _double(elf: Library) -> tuple[tuple[str, ...], ...]:
    for header in elf.string_headers(_FIRST_DOUBLE[0]):
        if elf.string(header + HEADER) != _FIRST_DOUBLE[1]:
            continue
        for position in elf.pointers_to(header):
            if elf.word(position + WORD) == DOUBLE_COUNT:
                return tuple(_slice(elf, position + table * 3 * WORD) for table in range(DOUBLE_TABLES))
    raise ElfError(f"no tables that start with {_FIRST_DOUBLE[0]!r}")


def _slice(elf: Library, position: int) -> tuple[str, ...]:
    start = elf.target(position)
    return tuple(elf.string(start + index * HEADER) for index in range(elf.word(position + WORD)))


def _checked(tokens: Tokens) -> Tokens:
    sizes = [len(tokens.single), *(len(table) for table in tokens.double)]
    if sizes != [SINGLE_COUNT] + [DOUBLE_COUNT] * DOUBLE_TABLES:
        raise KeyError(f"unexpected table sizes {sizes}")
    return tokens
