"""Rows of `bots` with their `bot_status`, for the api: read, create, and lock for a change.

Every function takes the caller's scope; a bot outside it does not exist. A change is made to the row from `locked` and
stored by `saved`; triggers do the rest (see `orchestrator/db/models.py`).
"""

import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, ScalarSelect, Select, func, literal, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from orchestrator.db.models import Bot, BotKey, BotStatus, Server
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

    phase: str | None = None
    approval_status: str | None = None


class PageStart(NamedTuple):
    """Where a page of bots begins: after the bot with this id on this server (None: on any)."""

    bot_id: str
    server_name: str | None


async def find(session: AsyncSession, scope: Scope, bot_id: str) -> BotRow:
    """One bot.

    Raises NotFoundError, also for a bot outside the scope, and ConflictError if several servers in the scope have a bot
    with this id.
    """
    return _only((await session.execute(_named(scope, bot_id))).all(), bot_id)


async def locked(session: AsyncSession, scope: Scope, bot_id: str) -> BotRow:
    """Like `find`, and locks the bot against changes by others until the session ends."""
    query = _named(scope, bot_id).with_for_update(of=Bot, key_share=True)
    return _only((await session.execute(query)).all(), bot_id)


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
    after: PageStart | None = None,
    filters: Filters = Filters(),  # noqa: B008
) -> list[BotRow]:
    """At most `limit` bots in the order of their ids and servers, starting after `after`."""
    query = _rows(scope).order_by(col(Bot.id), col(Bot.server_name)).limit(limit)
    if after is not None and after.server_name is None:
        query = query.where(col(Bot.id) > after.bot_id)
    elif after is not None:
        query = query.where(tuple_(col(Bot.id), col(Bot.server_name)) > tuple_(*map(literal, after)))
    if filters.phase is not None:
        query = query.where(SHOWN_PHASE.in_([filters.phase]))
    if filters.approval_status is not None:
        query = query.where(col(Bot.approval_status) == filters.approval_status)
    return [BotRow(*row) for row in (await session.execute(query)).all()]


async def create(session: AsyncSession, *, server_name: str, bot_id: str | None, values: dict[str, Any]) -> BotRow:
    """Create a bot on a server and commit; without an id, one is generated.

    Raises NotFoundError (no such server), LimitReachedError (the server is full), ConflictError (the id is
    taken on this server). The server's row is locked, so the limit holds for concurrent callers.
    """
    await _check_capacity(session, server_name)
    ids = [bot_id] if bot_id is not None else [f"bot-{secrets.token_hex(4)}" for _ in range(GENERATED_ID_ATTEMPTS)]
    for candidate in ids:
        statement = insert(Bot).values(id=candidate, server_name=server_name, **values)
        inserted = await session.execute(statement.on_conflict_do_nothing().returning(col(Bot.key)))
        if inserted.one_or_none() is not None:
            row = await find(session, Scope(server_name), candidate)
            await session.commit()
            return row
    raise ConflictError(f"the bot id {ids[-1]!r} is taken", code="already-exists")


def key_of(server_name: str, bot_id: str) -> ScalarSelect[BotKey]:
    """The key of a bot, as a subquery."""
    return select(col(Bot.key)).where(col(Bot.server_name) == server_name, col(Bot.id) == bot_id).scalar_subquery()


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
    query = select(Bot, BotStatus).join(BotStatus, col(BotStatus.bot_key) == col(Bot.key))
    return query.where(scope.covers(col(Bot.server_name)))


def _named(scope: Scope, bot_id: str) -> Select[Bot, BotStatus]:
    return _rows(scope).where(col(Bot.id) == bot_id).limit(2)


def _only(rows: Sequence[Row[Bot, BotStatus]], bot_id: str) -> BotRow:
    if not rows:
        raise NotFoundError(f"bot {bot_id!r} does not exist")
    if len(rows) > 1:
        raise ConflictError(
            f"several servers have a bot {bot_id!r}: name one with the query parameter serverName",
            code="ambiguous-bot",
        )
    return BotRow(*rows[0])
