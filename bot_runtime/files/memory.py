"""How much memory this process uses."""

from pathlib import Path

_STATUS = Path("/proc/self/status")


def anonymous_memory() -> int:
    """Bytes of resident memory that are backed by no file."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0
