"""Files through the Go library, so few at a time that memory stays bounded.

The library holds a file and its encrypted form in memory as a whole, about four times its size while it is under way.
It knows no deadline, and takes a file of any size whatever the message said about it. So large files go one by one,
small ones have a lane of their own, and neither takes a thread that answers of commands need. And every transfer is
watched: when it takes too long or too much memory, its connection is cut, over and over, until the library gives up and
the lane is free.
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
SECONDS = 300.0
"""For the largest file this is enough with half a megabit a second."""
MAX_GROWTH_BYTES = 96 << 20
"""More than the largest file that is allowed can take."""
LOOK_SECONDS = 0.1
CUT_ALL_SECONDS = 5.0
"""Until then only connections are cut that are younger than the transfer; afterwards it may have had an old one."""


class Sockets(Protocol):
    """The connections of this process to others."""

    def outgoing(self) -> Collection[int]:
        """What tells them apart."""

    def drop(self, *, spare: Collection[int]) -> int:
        """Cut all but `spare`; how many there were."""


class TransferStoppedError(WhatsAppError):
    """A transfer was cut off because it took too long, or (`too_large`) more memory than a file may take."""

    def __init__(self, *, too_large: bool) -> None:
        super().__init__("the file is too large" if too_large else "WhatsApp's media server does not answer in time")
        self.too_large = too_large


@dataclass(slots=True)
class _Watched:
    """One transfer that is under way; `stopped` is why it was cut off."""

    watch: asyncio.Task[None] | None = None
    stopped: TransferStoppedError | None = None


class Transfers:
    """Runs transfers on threads of its own, which are started when they are first needed."""

    def __init__(
        self,
        sockets: Sockets,
        *,
        seconds: float = SECONDS,
        growth: int = MAX_GROWTH_BYTES,
        memory: Callable[[], int] = anonymous_memory,
    ) -> None:
        self._sockets = sockets
        self._seconds = seconds
        self._growth = growth
        self._memory = memory
        self._large = ThreadPoolExecutor(1, thread_name_prefix="large-file")
        self._small = ThreadPoolExecutor(SMALL_AT_ONCE, thread_name_prefix="small-file")

    async def run(self, size: int, transfer: Callable[[], _T]) -> _T:
        """What the blocking `transfer` of a file of `size` bytes returns or raises, when its turn has come.

        Raises `TransferStoppedError` when it was cut off.
        """
        loop, watched = asyncio.get_running_loop(), _Watched()

        def begin(before: int, older: Collection[int]) -> None:
            watched.watch = asyncio.create_task(self._watch(watched, before, older))

        def work() -> _T:
            loop.call_soon_threadsafe(begin, self._memory(), self._sockets.outgoing())
            return transfer()

        try:
            return await loop.run_in_executor(self._large if size > LARGE_BYTES else self._small, work)
        except WhatsAppError as error:
            raise watched.stopped or error from error
        finally:
            if watched.watch is not None:
                watched.watch.cancel()

    async def _watch(self, watched: _Watched, before: int, older: Collection[int]) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        while watched.stopped is None:
            await asyncio.sleep(LOOK_SECONDS)
            if self._memory() - before > self._growth:
                watched.stopped = TransferStoppedError(too_large=True)
            elif clock() - began > self._seconds:
                watched.stopped = TransferStoppedError(too_large=False)
        log.warning("a transfer is cut off: %s", watched.stopped)
        cut = clock()
        while True:
            self._sockets.drop(spare=older if clock() - cut < CUT_ALL_SECONDS else ())
            await asyncio.sleep(LOOK_SECONDS if watched.stopped.too_large else 1)
