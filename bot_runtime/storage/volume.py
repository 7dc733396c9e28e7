"""The space on the volume of a bot."""

import os
from pathlib import Path
from typing import NamedTuple


class Space(NamedTuple):
    """The size of a file system, and what is free of it for this process, in bytes."""

    free_bytes: int
    total_bytes: int


def measure(directory: Path) -> Space:
    """The space on the file system of a directory. Raises OSError."""
    found = os.statvfs(directory)
    return Space(free_bytes=found.f_bavail * found.f_frsize, total_bytes=found.f_blocks * found.f_frsize)
