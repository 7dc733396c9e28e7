"""One leading controller per server: a lease row in Postgres, renewed every third of its duration.

Postgres' clock decides when a lease has expired and another controller may take it; one that was not renewed for longer
than any lease lasts has expired as well, in case that clock was set back. The holder counts from before each
renewal, on a clock that keeps running while the process or the machine is suspended, and stops a margin earlier. So a
holder that is frozen or cut off is replaced within `lease_seconds`, and one that wakes up late finds its lease expired
before it changes anything: the engine asks `Lease.check` before every change (`Engine.guard`), and every write to
Postgres is refused for an older epoch (`db/fence.py`).

A broken connection alone does not end a lease: the holder reconnects and renews it.
"""

import asyncio
import logging
import os
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import psycopg

from orchestrator.db import leases
from orchestrator.db.fence import LeadershipLostError
from orchestrator.db.session import connect
from orchestrator.settings import Settings

log = logging.getLogger(__name__)

STANDBY_POLL_SECONDS = 0.25
RECONNECT_SECONDS = 0.2


def running_time() -> float:
    """Seconds on a monotonic clock that also runs while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """A lease that this process holds, as far as it can know without asking Postgres."""

    def __init__(self, holder: leases.Holder, *, valid_until: float, clock: Callable[[], float]) -> None:
        self.holder = holder
        self._valid_until = valid_until
        self._clock = clock
        self._lost = asyncio.Event()

    @property
    def epoch(self) -> int:
        """The number of this leadership: it grows with every change of the leader."""
        return self.holder.epoch

    def remaining_seconds(self) -> float:
        """How long the lease can be relied on; 0 when it cannot."""
        return 0.0 if self._lost.is_set() else max(0.0, self._valid_until - self._clock())

    def check(self) -> None:
        """Raise LeadershipLostError unless the lease can be relied on now. May be called from any thread."""
        if not self.remaining_seconds():
            raise LeadershipLostError(f"the lease of epoch {self.epoch} has expired or was taken over")

    def extend(self, valid_until: float) -> None:
        """A renewal has succeeded."""
        self._valid_until = valid_until

    def lose(self) -> None:
        """Another controller holds the lease."""
        self._lost.set()

    async def until_lost(self) -> None:
        """Return as soon as the lease has expired or was lost."""
        while remaining := self.remaining_seconds():
            with suppress(TimeoutError):
                async with asyncio.timeout(remaining):
                    await self._lost.wait()


@asynccontextmanager
async def leadership(
    settings: Settings,
    *,
    engine_id: str,
    on_standby: Callable[[], None],
    clock: Callable[[], float] = running_time,
) -> AsyncIterator[Lease]:
    """Wait for the server's lease (`on_standby` is called once when another controller holds it), renew it meanwhile.

    Raises psycopg.Error or OSError when Postgres is unavailable before the lease is held, and BoundElsewhereError when
    the lease is free and the server is bound to another engine than `engine_id`; the caller retries.
    """
    lease = await _acquire(settings, engine_id=engine_id, on_standby=on_standby, clock=clock)
    renewal = asyncio.create_task(_renew(lease, settings, clock), name="lease-renewal")
    try:
        yield lease
    finally:
        renewal.cancel()
        await asyncio.gather(renewal, return_exceptions=True)
        await _release(lease, settings)


async def _acquire(
    settings: Settings, *, engine_id: str, on_standby: Callable[[], None], clock: Callable[[], float]
) -> Lease:
    owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    waiting = False
    seen, since = None, clock()
    async with await connect(settings) as connection:
        while True:
            before = clock()
            expiry = await leases.expiry(connection, settings.server_name)
            if expiry != seen:
                seen, since = expiry, clock()
            # Otherwise, a lease that ended when Postgres' clock was set back by an hour would last an hour.
            abandoned = before - since > leases.MAX_SECONDS
            if expiry is None or abandoned:
                holder = await leases.acquire(
                    connection,
                    server=settings.server_name,
                    owner=owner,
                    engine_id=engine_id,
                    seconds=settings.lease_seconds,
                    default_max_bots=settings.botcount,
                    abandoned=expiry,
                )
                if holder is not None:
                    return Lease(holder, valid_until=before + _trusted_seconds(settings), clock=clock)
            if not waiting:
                waiting = True
                on_standby()
            await asyncio.sleep(STANDBY_POLL_SECONDS)


async def _renew(lease: Lease, settings: Settings, clock: Callable[[], float]) -> None:
    """Renew until the lease is lost, over a connection of its own: a busy pool must not delay it."""
    connection = None
    third = settings.lease_seconds / 3
    try:
        while lease.remaining_seconds():
            try:
                if connection is None:
                    async with asyncio.timeout(third):
                        connection = await connect(settings, answer_seconds=third)
                before = clock()
                if not await leases.renew(connection, lease.holder, seconds=settings.lease_seconds):
                    lease.lose()
                    return
                lease.extend(before + _trusted_seconds(settings))
            except Exception as exc:  # noqa: BLE001, RUF100 - whatever it was, there may be time for another attempt
                log.warning("the lease could not be renewed, retrying: %s", type(exc).__name__)
                log.debug("renewal of the lease", exc_info=exc)
                if connection is not None:
                    await connection.close()
                    connection = None
                await asyncio.sleep(RECONNECT_SECONDS)
            else:
                await asyncio.sleep(third)
    finally:
        if connection is not None:
            await connection.close()


async def _release(lease: Lease, settings: Settings) -> None:
    """Let a standby take over at once instead of after the rest of the lease."""
    remaining = lease.remaining_seconds()
    if not remaining:
        return
    # First: calls of the engine may still run in their threads, and must change nothing more once a standby leads.
    lease.lose()
    try:
        async with asyncio.timeout(remaining), await connect(settings, answer_seconds=remaining) as connection:
            await leases.release(connection, lease.holder)
    except (psycopg.Error, OSError, TimeoutError) as exc:
        log.warning("the lease could not be released and will expire: %s", type(exc).__name__)


def _trusted_seconds(settings: Settings) -> float:
    """How long the holder itself relies on a renewal: less than the lease in Postgres, because clocks drift."""
    return settings.lease_seconds * 0.9
