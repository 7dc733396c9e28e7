"""Rows of `bot_events`, read by bot in either direction.

A page ends early when its events have PAGE_BYTES of data, because one event may have a megabyte.
"""

from typing import Any, NamedTuple

from sqlalchemy import Select, Text, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col

from orchestrator.db.models import BotEvent, BotKey

PAGE_BYTES = 1 << 20


class EventRows(NamedTuple):
    """A page of events."""

    rows: list[BotEvent]
    more: bool
    """Whether more follow."""


async def newest(session: AsyncSession, bot_key: BotKey, *, limit: int, before: int | None = None) -> EventRows:
    """At most `limit` events before an id, newest first."""
    query = select(BotEvent).where(col(BotEvent.bot_key) == bot_key)
    if before is not None:
        query = query.where(col(BotEvent.id) < before)
    return await _page(session, query, limit=limit, newest_first=True)


async def after(session: AsyncSession, bot_key: BotKey, *, limit: int, after_id: int) -> EventRows:
    """At most `limit` events after an id, oldest first."""
    query = select(BotEvent).where(col(BotEvent.bot_key) == bot_key, col(BotEvent.id) > after_id)
    return await _page(session, query, limit=limit, newest_first=False)


async def _page(session: AsyncSession, query: Select[BotEvent], *, limit: int, newest_first: bool) -> EventRows:
    def in_order(event_id: Any) -> Any:
        return event_id.desc() if newest_first else event_id

    # One more than are returned shows whether there are more.
    found = query.order_by(in_order(col(BotEvent.id))).limit(limit + 1).subquery()
    size = func.octet_length(cast(found.c.data, Text))
    bytes_before = func.sum(size).over(order_by=in_order(found.c.id)) - size
    sized = select(found, func.count().over().label("found"), bytes_before.label("bytes_before")).subquery()
    statement = (
        select(aliased(BotEvent, sized), sized.c.found)
        .where(sized.c.bytes_before < PAGE_BYTES)
        .order_by(in_order(sized.c.id))
        .limit(limit)
    )
    rows = (await session.execute(statement)).all()
    return EventRows([row[0] for row in rows], bool(rows) and rows[0].found > len(rows))
