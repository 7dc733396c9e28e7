"""Transfers files through the Go library, few at a time so that memory stays bounded.

The library holds a file and its encrypted form in memory as a whole, about four times its size during the transfer. It
has no time limit, and accepts a file of any size regardless of the size stated in its message. So large files are
transferred one by one, small ones have their own threads, and neither uses threads that commands need. Every transfer
is watched: when it takes too long or too much memory, its connection is shut down, repeatedly, until the library fails
and the thread is free.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

from bot_runtime.files.memory import anonymous_memory
from bot_runtime.whatsapp.messages import WhatsAppError

log = logging.getLogger(__name__)
_T = TypeVar("_T")

LARGE_BYTES = 1 << 20
SMALL_AT_ONCE = 2
TRANSFER_SECONDS = 300.0
"""Enough for the largest file at half a megabit per second."""
MAX_GROWTH_BYTES = 96 << 20
"""More than a transfer of the largest allowed file can take."""
CHECK_SECONDS = 0.1
SPARE_SECONDS = 5.0
"""Until then only connections newer than the transfer are shut down; afterwards all, it may reuse an older one."""


class Sockets(Protocol):
    """The outgoing connections of this process."""

    def inodes(self) -> Collection[int]:
        """The inodes of all connections."""

    def drop(self, *, spare: Collection[int]) -> int:
        """Shut down all except `spare`; returns their number."""


class TransferStoppedError(WhatsAppError):
    """A transfer was stopped because it took too long, or (`too_large`) more memory than an allowed file."""

    def __init__(self, *, too_large: bool) -> None:
        super().__init__("the file is too large" if too_large else "WhatsApp's media server did not answer in time")
        self.too_large = too_large


@dataclass(slots=True)
class _Watched:
    """A running transfer; `stopped` is why it was stopped."""

    watch: asyncio.Task[None] | None = None
    stopped: TransferStoppedError | None = None


class Transfers:
    """Runs transfers on its own threads, which are started when they are first needed."""

    def __init__(
        self,
        sockets: Sockets,
        *,
        timeout_seconds: float = TRANSFER_SECONDS,
        growth: int = MAX_GROWTH_BYTES,
        memory: Callable[[], int] = anonymous_memory,
    ) -> None:
        self._sockets = sockets
        self._timeout_seconds = timeout_seconds
        self._growth = growth
        self._memory = memory
        self._large = ThreadPoolExecutor(1, thread_name_prefix="large-file")
        self._small = ThreadPoolExecutor(SMALL_AT_ONCE, thread_name_prefix="small-file")

    async def run(self, size: int, transfer: Callable[[], _T]) -> _T:
        """Run the blocking `transfer` of a file of `size` bytes when a thread is free; returns or raises its result.

        Raises `TransferStoppedError` when it was stopped.
        """
        loop, watched = asyncio.get_running_loop(), _Watched()

        def begin(before: int, older: Collection[int]) -> None:
            watched.watch = asyncio.create_task(self._watch(watched, before, older))

        def work() -> _T:
            loop.call_soon_threadsafe(begin, self._memory(), self._sockets.inodes())
            return transfer()

        try:
            return await loop.run_in_executor(self._large if size > LARGE_BYTES else self._small, work)
        except WhatsAppError as exc:
            raise watched.stopped or exc from exc
        finally:
            if watched.watch is not None:
                watched.watch.cancel()

    async def _watch(self, watched: _Watched, before: int, older: Collection[int]) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        while watched.stopped is None:
            await asyncio.sleep(CHECK_SECONDS)
            if self._memory() - before > self._growth:
                watched.stopped = TransferStoppedError(too_large=True)
            elif clock() - began > self._timeout_seconds:
                watched.stopped = TransferStoppedError(too_large=False)
        log.warning("a transfer is stopped: %s", watched.stopped)
        cut = clock()
        while True:
            self._sockets.drop(spare=older if clock() - cut < SPARE_SECONDS else ())
            await asyncio.sleep(CHECK_SECONDS if watched.stopped.too_large else 1)
