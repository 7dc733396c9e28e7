"""Limits the memory that concurrent uploads take.

A file is in memory from its first byte until it is stored in Postgres. The bodies of concurrent uploads together use at
most `MAX_BYTES` (processing uses a small multiple of that), and those of one server at most half of it, so that slow
uploads of one tenant do not block others. Further uploads wait before their bodies are read, and are rejected if no
memory becomes available in time. Bodies of up to `SMALL_BYTES` are not counted.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orchestrator.errors import UnavailableError

MIB = 1 << 20
MAX_BYTES = 128 * MIB
WAIT_SECONDS = 15.0
SMALL_BYTES = MIB


class UploadMemory:
    """The memory budget that all requests of a process share."""

    def __init__(self, *, maximum: int = MAX_BYTES, timeout_seconds: float = WAIT_SECONDS) -> None:
        self._maximum = maximum
        self._patience = timeout_seconds
        self._share = maximum // 2
        self._reserved: Counter[str | None] = Counter()
        self._released = asyncio.Condition()

    @asynccontextmanager
    async def reserve(self, size: int, *, server: str | None) -> AsyncIterator[None]:
        """Reserve memory for a body of `size` bytes sent by a key of `server` (None: an admin key).

        Raises UnavailableError if none becomes available in time.
        """
        size = min(size, self._share)
        if size <= SMALL_BYTES:
            yield
            return
        try:
            async with asyncio.timeout(self._patience), self._released:
                await self._released.wait_for(lambda: self._fits(size, server))
                self._reserved[server] += size
        except TimeoutError:
            raise UnavailableError("too many concurrent uploads: retry later", code="busy") from None
        try:
            yield
        finally:
            self._reserved[server] -= size
            self._reserved += Counter()  # drops servers without uploads
            async with self._released:
                self._released.notify_all()

    def _fits(self, size: int, server: str | None) -> bool:
        return self._reserved[server] + size <= self._share and self._reserved.total() + size <= self._maximum
