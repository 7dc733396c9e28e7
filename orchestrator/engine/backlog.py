"""A bounded queue of events between an engine and the task that reads them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from orchestrator.engine.base import EngineEvent, EngineEventKind

MAX_WAITING_EVENTS = 10_000
CONNECTED = EngineEvent(kind=EngineEventKind.CONNECTED)


class Backlog:
    """When it is full, one CONNECTED replaces its content: the reader has to list containers then anyway."""

    def __init__(self, limit: int = MAX_WAITING_EVENTS) -> None:
        self._limit = limit
        self._events: deque[EngineEvent] = deque()
        self._filled = asyncio.Event()
        self._ended = False

    def put(self, event: EngineEvent) -> None:
        """Add an event. Call it in the reader's event loop."""
        if len(self._events) >= self._limit:
            self._events.clear()
            self._events.append(CONNECTED)
        self._events.append(event)
        self._filled.set()

    def end(self) -> None:
        """End the reader; unread events are dropped."""
        self._ended = True
        self._filled.set()

    async def read(self) -> AsyncIterator[EngineEvent]:
        """The events, oldest first, as they arrive, until `end`."""
        while not self._ended:
            if self._events:
                yield self._events.popleft()
            else:
                self._filled.clear()
                await self._filled.wait()
