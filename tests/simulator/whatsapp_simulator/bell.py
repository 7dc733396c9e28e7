"""Waiting for something to happen to somebody, with a deadline."""

from __future__ import annotations

import asyncio
from collections import defaultdict


class Bell:
    """`ring(name)` wakes everybody who is in `wait(name, …)` at that moment."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)

    def ring(self, name: str) -> None:
        """Wake those who wait for `name`."""
        for future in self._waiting.pop(name, ()):
            if not future.done():
                future.set_result(None)

    async def wait(self, name: str, seconds: float) -> None:
        """Return when the bell rings for `name`, or after that many seconds."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[name].add(future)
        try:
            await asyncio.wait_for(future, seconds)
        except TimeoutError:
            return
        finally:
            self._waiting[name].discard(future)
            if not self._waiting[name]:
                del self._waiting[name]
