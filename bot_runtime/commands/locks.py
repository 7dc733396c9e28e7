"""Locks by command name: a bot never runs the same command twice at the same time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

TTL_SECONDS = 30.0


@dataclass(slots=True, eq=False)
class _Hold:
    expires: float
    released: asyncio.Event = field(default_factory=asyncio.Event)


class CommandLocks:
    """One lock per name. A lock that is held longer than `ttl_seconds` passes to the next waiter."""

    def __init__(self, *, ttl_seconds: float = TTL_SECONDS, clock: Callable[[], float] | None = None) -> None:
        self._ttl_seconds = ttl_seconds
        self._clock = clock or asyncio.get_running_loop().time
        self._holds: dict[str, _Hold] = {}

    def __len__(self) -> int:
        """How many locks are held."""
        now = self._clock()
        return sum(lease.expires > now for lease in self._holds.values())

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        """Hold the lock of `name`; waits for another holder until its time to live ends."""
        while (held := self._holds.get(name)) is not None and (left := held.expires - self._clock()) > 0:
            try:
                await asyncio.wait_for(held.released.wait(), left)
            except TimeoutError:
                break
        lease = self._holds[name] = _Hold(self._clock() + self._ttl_seconds)
        try:
            yield
        finally:
            if self._holds.get(name) is lease:
                del self._holds[name]
            lease.released.set()
