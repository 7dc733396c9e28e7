"""Rows of `bots` with their `bot_status`, for the api: read, create, and lock for a change.

Every function takes the caller's scope; a bot outside it does not exist. A change is made to the row from `locked` and
stored by `saved`; triggers do the rest (see `orchestrator/db/models.py`).
"""

import secrets
from typing import Any, NamedTuple

from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from orchestrator.db.models import Bot, BotStatus, Server
from orchestrator.db.phases import SHOWN_PHASE
from orchestrator.db.scope import Scope
from orchestrator.errors import ConflictError, LimitReachedError, NotFoundError

GENERATED_ID_ATTEMPTS = 5


class BotRow(NamedTuple):
    """A bot's desired and observed state."""

    bot: Bot
    status: BotStatus


class Filters(NamedTuple):
    """The filters of a list of bots; None: no filter."""

    server_name: str | None = None
    phase: str | None = None
    approval_status: str | None = None


async def find(session: AsyncSession, scope: Scope, bot_id: str) -> BotRow:
    """One bot. Raises NotFoundError, also for a bot outside the scope."""
    row = (await session.execute(_rows(scope).where(col(Bot.id) == bot_id))).one_or_none()
    if row is None:
        raise NotFoundError(f"bot {bot_id!r} does not exist")
    return BotRow(*row)


async def locked(session: AsyncSession, scope: Scope, bot_id: str) -> BotRow:
    """One bot, locked against changes by others until the session ends. Raises NotFoundError."""
    query = _rows(scope).where(col(Bot.id) == bot_id).with_for_update(of=Bot, key_share=True)
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise NotFoundError(f"bot {bot_id!r} does not exist")
    return BotRow(*row)


async def changeable(session: AsyncSession, scope: Scope, bot_id: str) -> BotRow:
    """Like `locked`. Raises ConflictError for a bot that is being deleted."""
    row = await locked(session, scope, bot_id)
    if row.bot.deleting:
        raise ConflictError(f"bot {bot_id!r} is being deleted", code="deleting")
    return row


async def saved(session: AsyncSession, row: BotRow) -> BotRow:
    """Store the changes made to a locked row; returns the row as the triggers left it."""
    await session.flush()
    await session.refresh(row.bot)
    await session.commit()
    return row


async def page(
    session: AsyncSession,
    scope: Scope,
    *,
    limit: int,
    after: str | None = None,
    filters: Filters = Filters(),  # noqa: B008
) -> list[BotRow]:
    """At most `limit` bots in the order of their ids, starting after `after`."""
    query = _rows(scope).order_by(col(Bot.id)).limit(limit)
    if after is not None:
        query = query.where(col(Bot.id) > after)
    if filters.server_name is not None:
        query = query.where(col(Bot.server_name) == filters.server_name)
    if filters.phase is not None:
        query = query.where(SHOWN_PHASE.in_([filters.phase]))
    if filters.approval_status is not None:
        query = query.where(col(Bot.approval_status) == filters.approval_status)
    return [BotRow(*row) for row in (await session.execute(query)).all()]


async def create(session: AsyncSession, *, server_name: str, bot_id: str | None, values: dict[str, Any]) -> BotRow:
    """Create a bot on a server and commit; without an id, one is generated.

    Raises NotFoundError (no such server), LimitReachedError (the server is full), ConflictError (the id is
    taken). The server's row is locked, so the limit holds for concurrent callers.
    """
    await _check_capacity(session, server_name)
    ids = [bot_id] if bot_id is not None else [f"bot-{secrets.token_hex(4)}" for _ in range(GENERATED_ID_ATTEMPTS)]
    for candidate in ids:
        statement = insert(Bot).values(id=candidate, server_name=server_name, **values)
        inserted = await session.execute(statement.on_conflict_do_nothing().returning(col(Bot.id)))
        if inserted.one_or_none() is not None:
            row = await find(session, Scope(server_name), candidate)
            await session.commit()
            return row
    raise ConflictError(f"the bot id {ids[-1]!r} is taken", code="already-exists")


async def _check_capacity(session: AsyncSession, server_name: str) -> None:
    query = select(col(Server.max_bots)).where(col(Server.name) == server_name).with_for_update(key_share=True)
    max_bots = (await session.execute(query)).scalar_one_or_none()
    if max_bots is None:
        raise NotFoundError(f"server {server_name!r} does not exist", code="unknown-server")
    count = select(func.count(), func.count().filter(col(Bot.deleting))).where(col(Bot.server_name) == server_name)
    present, leaving = (await session.execute(count)).one()
    if present >= max_bots:
        going = f", {leaving} of them being deleted" if leaving else ""
        raise LimitReachedError(f"server {server_name!r} has {present} bots{going}; its maxBots is {max_bots}")


def _rows(scope: Scope) -> Select[Bot, BotStatus]:
    query = select(Bot, BotStatus).join(BotStatus, col(BotStatus.bot_id) == col(Bot.id))
    return query.where(scope.covers(col(Bot.server_name)))
