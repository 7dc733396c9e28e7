"""Events between what produces them and the one task that reads them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from orchestrator.engine.base import EngineEvent, EngineEventKind

MAX_WAITING_EVENTS = 10_000
CONNECTED = EngineEvent(kind=EngineEventKind.CONNECTED)


class Backlog:
    """A bounded queue. When it is full, everything in it becomes one CONNECTED: its reader has to list then anyway."""

    def __init__(self, limit: int = MAX_WAITING_EVENTS) -> None:
        self._limit = limit
        self._events: deque[EngineEvent] = deque()
        self._filled = asyncio.Event()
        self._ended = False

    def put(self, event: EngineEvent) -> None:
        """Add an event; call it in the reader's loop."""
        if len(self._events) >= self._limit:
            self._events.clear()
            self._events.append(CONNECTED)
        self._events.append(event)
        self._filled.set()

    def end(self) -> None:
        """Let the reader come to its end; events not read yet are dropped."""
        self._ended = True
        self._filled.set()

    async def read(self) -> AsyncIterator[EngineEvent]:
        """The events, oldest first, each as soon as it is there, until `end`."""
        while not self._ended:
            if self._events:
                yield self._events.popleft()
            else:
                self._filled.clear()
                await self._filled.wait()
