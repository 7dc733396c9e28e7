"""Notifies every controller that a process of the stack has started and must be attached to the bots' network."""

import asyncio

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from orchestrator.db.models import CHANGES_CHANNEL, EVERYTHING
from orchestrator.db.session import Database, is_unavailable

RETRY_SECONDS = 1.0


async def announce(database: Database) -> None:
    """Notify once, as soon as Postgres answers.

    On cancellation, a running attempt is still awaited: an abandoned connection stays open until it is garbage
    collected, and its backend, which nothing interrupts, blocks `DROP DATABASE` for as long.
    """
    while True:
        attempt = asyncio.create_task(_notify(database))
        try:
            if await asyncio.shield(attempt):
                return
        except asyncio.CancelledError:
            await asyncio.wait([attempt])
            raise
        await asyncio.sleep(RETRY_SECONDS)


async def _notify(database: Database) -> bool:
    """Whether Postgres accepted it."""
    try:
        async with database.session() as session:
            await session.execute(
                text("SELECT pg_notify(:channel, :payload)"), {"channel": CHANGES_CHANNEL, "payload": EVERYTHING}
            )
            await session.commit()
    except (DBAPIError, OSError) as exc:
        if not is_unavailable(exc):
            raise
        return False
    return True
