"""Wait for an event by name, with a timeout."""

from __future__ import annotations

import asyncio
from collections import defaultdict


class Notifier:
    """`notify(name)` wakes every task that is currently in `wait(name, …)`."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)

    def notify(self, name: str) -> None:
        """Wake all tasks that wait for `name`."""
        for future in self._waiting.pop(name, ()):
            if not future.done():
                future.set_result(None)

    async def wait(self, name: str, timeout_seconds: float) -> None:
        """Return when `name` is notified, or after the timeout."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[name].add(future)
        try:
            await asyncio.wait_for(future, timeout_seconds)
        except TimeoutError:
            return
        finally:
            self._waiting[name].discard(future)
            if not self._waiting[name]:
                del self._waiting[name]
