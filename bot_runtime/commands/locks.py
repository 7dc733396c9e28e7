"""Locks by command name: the same command of a bot never runs twice at once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

TTL_SECONDS = 30.0


@dataclass(slots=True, eq=False)
class _Lease:
    expires: float
    released: asyncio.Event = field(default_factory=asyncio.Event)


class CommandLocks:
    """Hands out one lock per name. A lock held longer than `ttl` seconds is taken over by whoever waits for it."""

    def __init__(self, *, ttl: float = TTL_SECONDS, clock: Callable[[], float] | None = None) -> None:
        self._ttl = ttl
        self._clock = clock or asyncio.get_running_loop().time
        self._leases: dict[str, _Lease] = {}

    def __len__(self) -> int:
        """How many are held now."""
        now = self._clock()
        return sum(lease.expires > now for lease in self._leases.values())

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        """Hold the lock of `name`, waiting for another holder at most until its time is over."""
        while (held := self._leases.get(name)) is not None and (left := held.expires - self._clock()) > 0:
            try:
                await asyncio.wait_for(held.released.wait(), left)
            except TimeoutError:
                break
        lease = self._leases[name] = _Lease(self._clock() + self._ttl)
        try:
            yield
        finally:
            if self._leases.get(name) is lease:
                del self._leases[name]
            lease.released.set()
