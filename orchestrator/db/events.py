"""Rows of `bot_events`, read by bot in either direction."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from orchestrator.db.models import BotEvent, BotKey


async def newest(session: AsyncSession, bot_key: BotKey, *, limit: int, before: int | None = None) -> list[BotEvent]:
    """At most `limit` events before an id, newest first."""
    query = select(BotEvent).where(col(BotEvent.bot_key) == bot_key)
    if before is not None:
        query = query.where(col(BotEvent.id) < before)
    query = query.order_by(col(BotEvent.id).desc()).limit(limit)
    return list((await session.execute(query)).scalars())


async def after(session: AsyncSession, bot_key: BotKey, *, limit: int, after_id: int) -> list[BotEvent]:
    """At most `limit` events after an id, oldest first."""
    query = select(BotEvent).where(col(BotEvent.bot_key) == bot_key, col(BotEvent.id) > after_id)
    query = query.order_by(col(BotEvent.id)).limit(limit)
    return list((await session.execute(query)).scalars())
