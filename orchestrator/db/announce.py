"""Says to every controller that a process of the stack has started, which has to be taken into the bots' network."""

import asyncio

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from orchestrator.db.models import CHANGES_CHANNEL, EVERYTHING
from orchestrator.db.session import Database, is_unavailable

RETRY_SECONDS = 1.0


async def announce(database: Database) -> None:
    """Notify once, as soon as Postgres answers."""
    while True:
        try:
            async with database.session() as session:
                await session.execute(
                    text("SELECT pg_notify(:channel, :payload)"), {"channel": CHANGES_CHANNEL, "payload": EVERYTHING}
                )
                await session.commit()
            return
        except (DBAPIError, OSError) as exc:
            if not is_unavailable(exc):
                raise
        await asyncio.sleep(RETRY_SECONDS)
