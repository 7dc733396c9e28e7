"""The memory usage of this process."""

from pathlib import Path

_STATUS = Path("/proc/self/status")


def anonymous_memory() -> int:
    """Resident memory that is not backed by a file, in bytes."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0
