"""One acting controller per server: a session-level advisory lock in Postgres.

The lock lives exactly as long as its connection, so a controller that dies, or is cut off from Postgres, loses it
without anybody's help. The holder looks after the connection every two seconds and stops acting as soon as it cannot
be sure any more; the epoch (`store.begin_epoch`) refuses whatever it might still write.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg

from orchestrator.settings import Settings

log = logging.getLogger(__name__)

CHECK_INTERVAL = 2.0
CHECK_TIMEOUT = 5.0
STANDBY_POLL = 0.25
"""Seconds between two tries of a standby. Not a blocking lock: a cancelled wait would leave its backend queueing."""


class LeaderLock:
    """A held lock. `lost` is set when it can no longer be relied on."""

    def __init__(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        self.lost = asyncio.Event()
        self._connection = connection

    async def watch(self) -> None:
        """Look after the lock's connection until it fails."""
        try:
            while True:
                await asyncio.sleep(CHECK_INTERVAL)
                async with asyncio.timeout(CHECK_TIMEOUT):
                    await self._connection.execute("SELECT 1")
        except (psycopg.Error, TimeoutError, OSError) as exc:
            log.warning("the leader lock is lost: %s", type(exc).__name__)
        finally:
            self.lost.set()


async def connect(settings: Settings) -> psycopg.AsyncConnection[tuple[object, ...]]:
    """A connection of its own, outside the pool, that notices a vanished server within about ten seconds."""
    return await psycopg.AsyncConnection.connect(
        settings.libpq_url,
        autocommit=True,
        connect_timeout=5,
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        tcp_user_timeout=10_000,
    )


@asynccontextmanager
async def leadership(settings: Settings, *, on_standby: Callable[[], None]) -> AsyncIterator[LeaderLock]:
    """Wait for the server's lock (`on_standby` is called once when another has it), hold it for the block.

    Raises psycopg.Error when Postgres cannot be reached; the caller tries again.
    """
    connection = await connect(settings)
    try:
        waiting = False
        while not await _try_lock(connection, settings.server_name):
            if not waiting:
                waiting = True
                on_standby()
            await asyncio.sleep(STANDBY_POLL)
        lease = LeaderLock(connection)
        watch = asyncio.create_task(lease.watch(), name="lease-watch")
        try:
            yield lease
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
    finally:
        await connection.close()


async def _try_lock(connection: psycopg.AsyncConnection[tuple[object, ...]], server: str) -> bool:
    cursor = await connection.execute(
        "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [f"botdock controller of {server}"]
    )
    row = await cursor.fetchone()
    return row is not None and bool(row[0])
