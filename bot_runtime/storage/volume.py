"""The space on the volume of a bot."""

import os
from pathlib import Path
from typing import NamedTuple


class Space(NamedTuple):
    """How much a bot may store, and how much of that is left, in bytes."""

    free_bytes: int
    total_bytes: int


def measure(directory: Path, max_bytes: int) -> Space:
    """The space for the files of a bot: what its file system has, and at most `max_bytes`. Raises OSError."""
    found = os.statvfs(directory)
    free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    return Space(free_bytes=min(free, max(0, max_bytes - used_bytes(directory))), total_bytes=min(total, max_bytes))


def used_bytes(directory: str | Path) -> int:
    """The size of all files in a directory, as the engine counts it. Raises OSError."""
    total = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                is_directory = entry.is_dir(follow_symlinks=False)
                total += used_bytes(entry.path) if is_directory else entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue  # removed meanwhile
    return total
