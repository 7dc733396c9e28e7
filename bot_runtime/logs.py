"""Logging: one line per thing on standard output, and nothing else there.

neonize's Go code prints to file descriptor 1 on its own; the descriptor is turned to /dev/null and the log keeps a
copy. Descriptor 2 stays: the trace of a Go panic must be seen.
"""

import logging
import os
import sys
import time
from typing import TextIO

_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s"


def set_up_logging(level: str) -> TextIO:
    """Send all logs to the present standard output; returns the stream they go to."""
    stream = os.fdopen(os.dup(1), "w", buffering=1, errors="backslashreplace")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    sys.stdout = stream
    handler = logging.StreamHandler(stream)
    formatter = logging.Formatter(_FORMAT, datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    return stream


def give_back_stdout(stream: TextIO) -> None:
    """Make descriptor 1 the log's stream again, for a process started in place of this one."""
    stream.flush()
    os.dup2(stream.fileno(), 1)
