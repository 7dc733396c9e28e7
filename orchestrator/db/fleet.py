"""Reads of all bots in a scope, for responses that cover the whole fleet.

A server may have thousands of bots. Loading their rows as models takes most of a second and 100 MB for 10,000 of them,
and holds up every other request meanwhile. So these functions select only the columns that are needed and return plain
rows, a bounded number at a time; or they let Postgres add up the numbers.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, cast, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from orchestrator.db.models import Bot, BotStatus
from orchestrator.db.scope import Scope
from orchestrator.states import Phase

ROWS_PER_CHUNK = 500
"""Few enough that other requests are answered between two chunks without a noticeable delay."""


MAX_SUM = (1 << 63) - 1
"""Of a column of all bots: Postgres would fail beyond."""


class Totals(NamedTuple):
    """Numbers of all bots that are not being deleted."""

    bots: int
    online: int
    messages_sent: int
    messages_received: int
    errors: int
    reconnections: int


async def chunks(
    session: AsyncSession, scope: Scope, *columns: Any, present_only: bool = False
) -> AsyncIterator[Sequence[Any]]:
    """The given columns of `bots` and `bot_status` for every bot, ordered by id and server.

    At most ROWS_PER_CHUNK rows at a time, of one snapshot of the database. `present_only` omits bots that are being
    deleted.
    """
    query = select(*columns).join_from(Bot, BotStatus, col(BotStatus.bot_key) == col(Bot.key))
    query = query.where(scope.covers(col(Bot.server_name))).order_by(col(Bot.id), col(Bot.server_name))
    if present_only:
        query = query.where(col(Bot.deleting).is_(False))
    # On the connection, because a session would wrap the rows at the cost of reading them once more.
    connection = await session.connection()
    # All rows are read. By default, Postgres chooses a plan for reading a tenth, which takes twice as long.
    await connection.execute(text("SET LOCAL cursor_tuple_fraction = 1"))
    rows = await connection.stream(query, execution_options={"yield_per": ROWS_PER_CHUNK})
    try:
        async for chunk in rows.partitions():
            yield chunk
            await asyncio.sleep(0)  # lets other requests proceed, also when the next rows have arrived already
    finally:
        await rows.close()


async def totals(session: AsyncSession, scope: Scope) -> Totals:
    """The totals of all bots in the scope."""
    query = (
        select(
            func.count(),
            func.count().filter(col(BotStatus.phase) == Phase.ONLINE),
            _sum(col(BotStatus.messages_sent)),
            _sum(col(BotStatus.messages_received)),
            _sum(col(BotStatus.errors)),
            _sum(col(BotStatus.reconnections)),
        )
        .join_from(Bot, BotStatus, col(BotStatus.bot_key) == col(Bot.key))
        .where(scope.covers(col(Bot.server_name)), col(Bot.deleting).is_(False))
    )
    return Totals(*(await session.execute(query)).one())


def _sum(column: Any) -> ColumnElement[int]:
    return cast(func.least(func.greatest(func.coalesce(func.sum(column), 0), -MAX_SUM), MAX_SUM), BigInteger)
