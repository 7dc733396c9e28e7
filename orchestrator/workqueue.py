"""A queue of bot ids, for the reconciler and the dispatcher.

Concurrency contract: a bot is handed to one worker at a time; a bot added while a worker handles it is handed out once
more afterwards; a bot added several times while it waits is handed out once. `add_later` keeps the earliest time. All
methods must be called in the event loop's thread.
"""

import asyncio
from collections import deque


class WorkQueue:
    """De-duplicating queue with delays. `depth` counts the bots that wait now, without delayed ones."""

    def __init__(self) -> None:
        self._ready: deque[str] = deque()
        self._waiting: set[str] = set()
        self._active: set[str] = set()
        self._dirty: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._wake = asyncio.Event()

    @property
    def depth(self) -> int:
        """The number of bots waiting for a worker."""
        return len(self._ready)

    @property
    def idle(self) -> bool:
        """Whether no bot waits and none is being handled (delayed ones may exist)."""
        return not self._ready and not self._active

    def add(self, bot_id: str) -> None:
        """Hand out a bot as soon as a worker is free."""
        self._cancel_timer(bot_id)
        if bot_id in self._active:
            self._dirty.add(bot_id)
        elif bot_id not in self._waiting:
            self._waiting.add(bot_id)
            self._ready.append(bot_id)
            self._wake.set()

    def add_later(self, bot_id: str, delay_seconds: float) -> None:
        """Hand out a bot after `delay_seconds`, unless it is added earlier."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(bot_id)
        if timer is not None and timer.when() <= loop.time() + delay_seconds:
            return
        self._cancel_timer(bot_id)
        self._timers[bot_id] = loop.call_later(max(delay_seconds, 0), self.add, bot_id)

    async def get(self) -> str:
        """The next bot. The caller must call `done` for it."""
        while not self._ready:
            self._wake.clear()
            await self._wake.wait()
        bot_id = self._ready.popleft()
        self._waiting.discard(bot_id)
        self._active.add(bot_id)
        return bot_id

    def done(self, bot_id: str) -> None:
        """The worker has finished with a bot from `get`."""
        self._active.discard(bot_id)
        if bot_id in self._dirty:
            self._dirty.discard(bot_id)
            self.add(bot_id)

    def close(self) -> None:
        """Drop all timers."""
        for bot_id in list(self._timers):
            self._cancel_timer(bot_id)

    def _cancel_timer(self, bot_id: str) -> None:
        timer = self._timers.pop(bot_id, None)
        if timer is not None:
            timer.cancel()
