"""Logging: one line per record on standard output, and nothing else there.

neonize's Go code prints to file descriptor 1; the descriptor is redirected to /dev/null and the log writes to a copy.
Descriptor 2 is left alone: the trace of a Go panic must be visible.
"""

import logging
import os
import sys
import time
from typing import TextIO

from bot_runtime.contract import LogLevel

_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s"


def set_up_logging(level: LogLevel) -> TextIO:
    """Send all logs to the current standard output; returns the stream they are written to."""
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


def set_level(level: LogLevel) -> None:
    """Write records of this level and above from now on."""
    logging.getLogger().setLevel(level.upper())


def restore_stdout(stream: TextIO) -> None:
    """Point descriptor 1 to the stream of the log again, before a restart in place."""
    stream.flush()
    os.dup2(stream.fileno(), 1)
