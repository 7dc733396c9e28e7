"""Patch the simulator's Noise root key into a copy of the neonize shared library.

A client verifies the server's Noise certificate with one 32-byte key that is compiled into the library. Replacing this
key is the only change that a client needs to trust the simulator. The module uses only the standard library and runs as
a plain script (`python3 patch.py --library SRC --out DST --key noise-root.bin`), because image builds use it before
anything is installed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

#: The public root key of the real network, as compiled into the library.
ORIGINAL_ROOT_KEY = bytes.fromhex("142375574d0a587166aae71ebe516437c4a28b73e3695c6ce1f7f9545da8ee6b")


class PatchError(Exception):
    """The library cannot be patched: the root key or the library is not as expected."""


def replace_root_key(library: bytes, new_key: bytes) -> bytes:
    """Return `library` with the root key replaced by `new_key` (32 bytes); PatchError unless found exactly once."""
    if len(new_key) != len(ORIGINAL_ROOT_KEY):
        raise PatchError(f"the new root key must have {len(ORIGINAL_ROOT_KEY)} bytes, not {len(new_key)}")
    found = library.count(ORIGINAL_ROOT_KEY)
    if found != 1:
        raise PatchError(f"the original root key was found {found} times instead of exactly once")
    return library.replace(ORIGINAL_ROOT_KEY, new_key)


def patch_library(source: Path, target: Path, new_key: bytes) -> None:
    """Write a patched copy of the library `source` to `target`, with its file mode."""
    try:
        patched = replace_root_key(source.read_bytes(), new_key)
    except PatchError as exc:
        raise PatchError(f"{source}: {exc}") from None
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(patched)
    shutil.copymode(source, target)


def add_arguments(parser: argparse.ArgumentParser, *, key_required: bool) -> None:
    """Add `--library`, `--out` and `--key` to a parser."""
    parser.add_argument("--library", type=Path, required=True, help="the neonize shared library (neonize-linux-*.so)")
    parser.add_argument("--out", type=Path, required=True, help="path of the patched copy")
    parser.add_argument(
        "--key",
        type=Path,
        required=key_required,
        help="file with the 32-byte public root key (noise-root.bin)" + ("" if key_required else "; default: built in"),
    )


def main(argv: list[str] | None = None) -> int:
    """Run as a script; returns the exit status."""
    parser = argparse.ArgumentParser(description="Replace the Noise root key in a copy of the neonize library.")
    add_arguments(parser, key_required=True)
    arguments = parser.parse_args(argv)
    try:
        patch_library(arguments.library, arguments.out, arguments.key.read_bytes())
    except (PatchError, OSError) as exc:
        print(f"patch: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
