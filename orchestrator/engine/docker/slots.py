"""Which calls to the engine may be made now, so that containers about which it does not answer hold up no others.

A call takes a slot; there are as many as calls that an engine handles well at the same time. A call that takes longer
than HELD_UP_SECONDS gives its slot back and continues beside those that follow.

A container is stuck once a call about it has timed out although the engine answered others, for example because its
shim hangs. Until the engine answers about it again, few calls about such containers are made at the same time, each
with a shorter timeout and after a pause, and all others fail at once.

All methods must be called in the event loop's thread.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from orchestrator.engine.base import ContainerStuckError

HELD_UP_SECONDS = 5.0
MAX_HELD_UP = 64
"""Calls that continue without a slot: each needs a thread and a connection."""
ATTEMPTS = 4
"""Calls about stuck containers at the same time."""
ATTEMPT_SECONDS = 10.0
"""Timeout of such a call."""
PAUSE_SECONDS = 10.0
"""Between two calls about the same stuck container."""
FORGET_SECONDS = 600.0
"""Until a container about which nobody calls any more, such as one that was removed, is forgotten."""


class CallSlots:
    """The slots of calls that run in threads."""

    def __init__(self, number: int) -> None:
        self._free = asyncio.Semaphore(number)
        self._held_up = 0

    async def take(self) -> None:
        """Wait for a slot, which `give_back_after` or `give_back` gives back."""
        await self._free.acquire()

    def give_back(self) -> None:
        """Give a slot back."""
        self._free.release()

    def give_back_after(self, call: "Future[Any]") -> None:
        """Give a slot back when the call has ended, or is held up."""
        loop = asyncio.get_running_loop()
        has_slot = True
        timer: asyncio.TimerHandle

        def hold_up() -> None:
            nonlocal has_slot, timer
            if self._held_up < MAX_HELD_UP:
                self._held_up += 1
                has_slot = False
                self._free.release()
            else:
                timer = loop.call_later(HELD_UP_SECONDS, hold_up)

        def end() -> None:
            timer.cancel()
            if has_slot:
                self._free.release()
            else:
                self._held_up -= 1

        timer = loop.call_later(HELD_UP_SECONDS, hold_up)
        call.add_done_callback(lambda _: loop.call_soon_threadsafe(end))  # in the thread of the call


class StuckContainers:
    """The containers, or volumes, about which the engine does not answer, by name or id."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked_at: dict[str, float] = {}
        """When the last call about each of them ended."""
        self._attempts = 0
        self._answered_at = -math.inf

    def __contains__(self, name: str | None) -> bool:
        return name in self._asked_at

    def answered(self, name: str | None) -> None:
        """The engine has answered a call, about a container or another one."""
        self._answered_at = self._clock()
        if name is not None:
            self._asked_at.pop(name, None)

    def timed_out(self, name: str | None, *, seconds: float) -> bool:
        """A call has timed out after `seconds`. Returns whether because of the container; else nothing is answered."""
        now = self._clock()
        if name is None or now - self._answered_at > seconds:
            return False
        self._asked_at = {other: at for other, at in self._asked_at.items() if now - at < FORGET_SECONDS}
        self._asked_at[name] = now
        return True

    @contextmanager
    def attempt(self, name: str, action: str) -> Iterator[None]:
        """For a call about a stuck container. Raises ContainerStuckError if it must not be made now."""
        if self._attempts >= ATTEMPTS or self._clock() - self._asked_at[name] < PAUSE_SECONDS:
            raise ContainerStuckError(f"cannot {action}: the engine did not answer the last call about it in time")
        self._attempts += 1
        try:
            yield
        finally:
            self._attempts -= 1
            if name in self._asked_at:
                self._asked_at[name] = self._clock()
