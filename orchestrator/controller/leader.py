"""Leader election, one leader per server: a session-level advisory lock in Postgres.

The lock lives exactly as long as its connection, so a controller that dies or is disconnected from Postgres loses it.
The leader checks the connection every two seconds and steps down as soon as it fails; the epoch (`begin_epoch` in
`reconcile/status_store.py`) fences whatever it might still write.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg

from orchestrator.settings import Settings

log = logging.getLogger(__name__)

CHECK_INTERVAL_SECONDS = 2.0
CHECK_TIMEOUT_SECONDS = 5.0
STANDBY_POLL_SECONDS = 0.25
"""Between two attempts of a standby. Not a blocking lock: a cancelled wait would leave its backend in the queue."""


class LeaderLock:
    """A held lock. `lost` is set once its connection has failed."""

    def __init__(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        self.lost = asyncio.Event()
        self._connection = connection

    async def watch(self) -> None:
        """Check the lock's connection until it fails."""
        try:
            while True:
                await asyncio.sleep(CHECK_INTERVAL_SECONDS)
                async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
                    await self._connection.execute("SELECT 1")
        except (psycopg.Error, TimeoutError, OSError) as exc:
            log.warning("lost the leader lock: %s", type(exc).__name__)
        finally:
            self.lost.set()


async def connect(settings: Settings) -> psycopg.AsyncConnection[tuple[object, ...]]:
    """A dedicated connection, outside the pool, that detects a vanished server within about ten seconds."""
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
    """Wait for the server's lock (`on_standby` is called once if another controller holds it); hold it in the block.

    Raises psycopg.Error when Postgres is unavailable; the caller retries.
    """
    connection = await connect(settings)
    try:
        waiting = False
        while not await _try_lock(connection, settings.server_name):
            if not waiting:
                waiting = True
                on_standby()
            await asyncio.sleep(STANDBY_POLL_SECONDS)
        lock = LeaderLock(connection)
        watch = asyncio.create_task(lock.watch(), name="leader-lock")
        try:
            yield lock
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
