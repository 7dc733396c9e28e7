"""Rows of `groups`: what bots reported about their groups."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from orchestrator.db.message_models import StoredGroup
from orchestrator.db.scope import Scope
from orchestrator.errors import NotFoundError


async def page(session: AsyncSession, scope: Scope, bot_id: str, *, limit: int, after: str | None) -> list[StoredGroup]:
    """At most `limit` groups of a bot in the order of their ids, starting after `after`."""
    query = select(StoredGroup).where(scope.covers(col(StoredGroup.server_name)), col(StoredGroup.bot_id) == bot_id)
    if after is not None:
        query = query.where(col(StoredGroup.id) > after)
    return list((await session.execute(query.order_by(col(StoredGroup.id)).limit(limit))).scalars())


async def find(session: AsyncSession, scope: Scope, bot_id: str, group_id: str) -> StoredGroup:
    """One group of a bot. Raises NotFoundError, also for a group outside the scope."""
    query = select(StoredGroup).where(
        scope.covers(col(StoredGroup.server_name)), col(StoredGroup.bot_id) == bot_id, col(StoredGroup.id) == group_id
    )
    row = (await session.execute(query)).scalar_one_or_none()
    if row is None:
        raise NotFoundError(f"bot {bot_id!r} is not in a group {group_id!r}")
    return row
