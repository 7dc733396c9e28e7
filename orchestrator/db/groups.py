"""Rows of `groups`: what bots told of the groups that they are in."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from orchestrator.db.message_models import Group
from orchestrator.db.scope import Scope
from orchestrator.errors import NotFound


async def page(session: AsyncSession, scope: Scope, bot_id: str, *, limit: int, after: str | None) -> list[Group]:
    """At most `limit` groups of a bot in the order of their ids, beginning after one."""
    query = select(Group).where(scope.covers(col(Group.server_name)), col(Group.bot_id) == bot_id)
    if after is not None:
        query = query.where(col(Group.id) > after)
    return list((await session.execute(query.order_by(col(Group.id)).limit(limit))).scalars())


async def find(session: AsyncSession, scope: Scope, bot_id: str, group_id: str) -> Group:
    """One group of a bot. Raises NotFound, also for one outside the scope."""
    query = select(Group).where(
        scope.covers(col(Group.server_name)), col(Group.bot_id) == bot_id, col(Group.id) == group_id
    )
    row = (await session.execute(query)).scalar_one_or_none()
    if row is None:
        raise NotFound(f"bot {bot_id!r} is in no group {group_id!r}")
    return row
