"""Work on messages: sequential within a chat, concurrent across chats.

A chat has a queue only while there is work for it. At most `workers` chats are served at the same time. The others take
turns, one item each, so that a busy chat does not block the rest. An exception in one item affects no other. All
methods must be called on the thread of the event loop.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

WORKERS = 500
CAPACITY = 5000

Work = Callable[[], Awaitable[None]]


class ChatQueues:
    """Queues of work by chat; at most `capacity` items wait, over all chats. With `held` all wait for `release`."""

    def __init__(self, *, workers: int = WORKERS, capacity: int = CAPACITY, held: bool = False) -> None:
        self._held = held
        self._workers = workers
        self._capacity = capacity
        self._queues: dict[str, deque[Work]] = {}
        self._ready: deque[str] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = 0

    def put(self, chat: str, work: Work) -> bool:
        """Add `work` to the queue of `chat`; False when the queues are full."""
        if self._waiting >= self._capacity:
            return False
        self._waiting += 1
        queue = self._queues.get(chat)
        if queue is not None:
            queue.append(work)
            return True
        self._queues[chat] = deque((work,))
        self._ready.append(chat)
        self._start_worker()
        return True

    def release(self) -> None:
        """Start the waiting work."""
        if self._held:
            self._held = False
            for _ in range(len(self._ready)):
                self._start_worker()

    @property
    def chats(self) -> int:
        """How many chats have work."""
        return len(self._queues)

    def close(self) -> None:
        """Cancel running and waiting work."""
        for task in self._tasks:
            task.cancel()
        self._queues.clear()
        self._ready.clear()

    def _start_worker(self) -> None:
        if self._held or len(self._tasks) >= self._workers:
            return
        task = asyncio.create_task(self._work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        while self._ready:
            chat = self._ready.popleft()
            queue = self._queues[chat]
            try:
                await queue[0]()
            except Exception:
                log.exception("work on a message failed")
            queue.popleft()
            self._waiting -= 1
            if queue:
                self._ready.append(chat)
            else:
                self._queues.pop(chat, None)
