"""Files through the Go library, so few at a time that memory stays bounded.

The library holds a file and its encrypted form in memory as a whole, about four times its size while it is under way,
and nothing can stop a transfer that has begun. So large files go one by one, small ones have a lane of their own, and
neither takes a thread that answers of commands need.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")

LARGE_BYTES = 1 << 20
SMALL_AT_ONCE = 2


class Transfers:
    """Runs transfers on threads of its own, which are started when they are first needed."""

    def __init__(self) -> None:
        self._large = ThreadPoolExecutor(1, thread_name_prefix="large-file")
        self._small = ThreadPoolExecutor(SMALL_AT_ONCE, thread_name_prefix="small-file")

    async def run(self, size: int, transfer: Callable[[], _T]) -> _T:
        """What the blocking `transfer` of a file of `size` bytes returns or raises, when its turn has come."""
        lane = self._large if size > LARGE_BYTES else self._small
        return await asyncio.get_running_loop().run_in_executor(lane, transfer)
