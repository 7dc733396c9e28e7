"""Threads for web calls, separate from those for WhatsApp, which must not wait for the web."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from bot_runtime.web.time_limit import TimeLimit

_P = ParamSpec("_P")
_T = TypeVar("_T")


class WebThreads:
    """At most `size` threads at a time, also of calls that nobody waits for any more. None keeps the process alive."""

    def __init__(self, size: int) -> None:
        self._free = asyncio.Semaphore(size)

    async def run(
        self, seconds: float, call: Callable[Concatenate[TimeLimit, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """The result of a blocking call, which gets its time limit.

        Raises what it raises, and TimeoutError after `seconds`, in total. Then, and when the wait is cancelled, the
        limit ends the call.
        """
        time_limit = TimeLimit(seconds)
        try:
            async with asyncio.timeout(seconds):
                await self._free.acquire()
                return await self._in_thread(lambda: call(time_limit, *args, **kwargs), time_limit)
        finally:
            time_limit.expire()

    async def _in_thread(self, call: Callable[[], _T], time_limit: TimeLimit) -> _T:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[_T] = loop.create_future()

        def finish(value: Any, error: BaseException | None) -> None:
            self._free.release()
            if done.cancelled():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(value)

        def run() -> None:
            value, failure = None, None
            try:
                value = call()
            except BaseException as exc:
                failure = exc
            time_limit.close()
            if not loop.is_closed():
                loop.call_soon_threadsafe(finish, value, failure)

        threading.Thread(target=run, name="web", daemon=True).start()
        return await done
