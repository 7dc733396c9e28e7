"""Keeps the files that callers send at once from filling the process's memory.

A file is in memory from its first byte until it stands in Postgres. However many callers send, their bodies together
take at most `MAX_BYTES` (and what is made of them some times that): further ones wait for room before anything is read
of them, and are refused when there is none in time. Bodies as small as those of every other call are not counted.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orchestrator.errors import Unavailable

MIB = 1 << 20
MAX_BYTES = 128 * MIB
WAIT_SECONDS = 15.0
SMALL_BYTES = MIB


class UploadMemory:
    """The room that all requests of one process share."""

    def __init__(self, *, maximum: int = MAX_BYTES, timeout_seconds: float = WAIT_SECONDS) -> None:
        self._maximum = maximum
        self._patience = timeout_seconds
        self._taken = 0
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def reserve(self, size: int) -> AsyncIterator[None]:
        """Room for a body of `size` bytes, once there is some. Raises Unavailable when there is none in time."""
        size = min(size, self._maximum)
        if size <= SMALL_BYTES:
            yield
            return
        try:
            async with asyncio.timeout(self._patience), self._freed:
                await self._freed.wait_for(lambda: self._taken + size <= self._maximum)
                self._taken += size
        except TimeoutError:
            raise Unavailable("too many files are being sent at this moment; try again", code="busy") from None
        try:
            yield
        finally:
            self._taken -= size
            async with self._freed:
                self._freed.notify_all()
