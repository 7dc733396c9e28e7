"""Rows of `commands`: those visible to a caller, and those that apply to a bot.

A bot's own command overrides one of its server with the same name, which overrides a global one.
"""

import uuid
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, text
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from bot_runtime.contract import CustomCommand
from orchestrator.db.message_models import StoredCommand
from orchestrator.db.models import Bot, BotKey
from orchestrator.db.scope import Scope
from orchestrator.errors import ConflictError, LimitReachedError, NotFoundError

MAX_COMMANDS = 200
MAX_BYTES = 128 << 10
"""Of all commands of one owner: a bot's configuration, with the commands of three owners, must fit into 1 MiB."""

_SIZE = func.octet_length(func.coalesce(col(StoredCommand.response), "")) + func.octet_length(
    func.coalesce(col(StoredCommand.webhook), "")
)


class Owner(NamedTuple):
    """The owner of a command: one bot, all bots of a server, or all bots (both None)."""

    server_name: str | None
    bot_key: BotKey | None

    def holds(self) -> ColumnElement[bool]:
        """The condition that a command belongs to exactly this owner."""
        return and_(
            col(StoredCommand.server_name).is_not_distinct_from(self.server_name),
            col(StoredCommand.bot_key).is_not_distinct_from(self.bot_key),
        )


class CommandRow(NamedTuple):
    """A command, and the id of the bot it belongs to."""

    command: StoredCommand
    bot_id: str | None


def visible(scope: Scope) -> ColumnElement[bool]:
    """The condition that a command is visible in a scope: those of its server, and the global ones."""
    return or_(scope.covers(col(StoredCommand.server_name)), col(StoredCommand.server_name).is_(None))


async def of_bot(session: AsyncSession, bot: Bot) -> list[CustomCommand]:
    """The commands that apply to a bot, in the order of their names."""
    query = (
        select(col(StoredCommand.name), col(StoredCommand.response), col(StoredCommand.webhook))
        .where(
            or_(
                col(StoredCommand.bot_key) == bot.key,
                and_(
                    col(StoredCommand.bot_key).is_(None),
                    or_(col(StoredCommand.server_name) == bot.server_name, col(StoredCommand.server_name).is_(None)),
                ),
            )
        )
        .order_by(
            col(StoredCommand.name),
            col(StoredCommand.bot_key).asc().nulls_last(),
            col(StoredCommand.server_name).asc().nulls_last(),
        )
        .ext(distinct_on(col(StoredCommand.name)))
    )
    rows = (await session.execute(query)).all()
    return [CustomCommand(name=row.name, response=row.response, webhook=row.webhook) for row in rows]


async def page(
    session: AsyncSession, scope: Scope, *, limit: int, after: str | None, bot_id: str | None, server_name: str | None
) -> list[CommandRow]:
    """At most `limit` commands in the order of their ids, starting after `after`."""
    query = _rows(scope).order_by(col(StoredCommand.id)).limit(limit)
    if after is not None:
        query = query.where(col(StoredCommand.id) > after)
    if bot_id is not None:
        query = query.where(col(Bot.id) == bot_id)
    if server_name is not None:
        query = query.where(col(StoredCommand.server_name) == server_name)
    return [CommandRow(*row) for row in (await session.execute(query)).all()]


async def find(session: AsyncSession, scope: Scope, command_id: str, *, for_change: bool = False) -> CommandRow:
    """One command. Raises NotFoundError, also for a command outside the scope."""
    query = _rows(scope).where(col(StoredCommand.id) == command_id)
    if for_change:
        query = query.with_for_update(of=StoredCommand)
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise NotFoundError(f"command {command_id!r} does not exist")
    return CommandRow(*row)


async def create(
    session: AsyncSession, owner: Owner, *, name: str, response: str | None, webhook: str | None
) -> StoredCommand:
    """Create a command without committing. Raises ConflictError (duplicate name) and LimitReachedError."""
    values = {"name": name, "response": response, "webhook": webhook}
    await _lock(session, owner)
    inserted = await session.execute(
        insert(StoredCommand)
        .values(id=uuid.uuid4().hex, server_name=owner.server_name, bot_key=owner.bot_key, **values)
        .on_conflict_do_nothing()
        .returning(StoredCommand)
    )
    row = inserted.scalar_one_or_none()
    if row is None:
        raise ConflictError(f"a command {name!r} already exists", code="already-exists")
    await _check_limits(session, owner)
    return row


async def change(
    session: AsyncSession, command: StoredCommand, *, name: str, response: str | None, webhook: str | None
) -> None:
    """Change a locked command. Raises ConflictError and LimitReachedError."""
    owner = Owner(command.server_name, command.bot_key)
    await _lock(session, owner)
    taken = select(col(StoredCommand.id)).where(
        owner.holds(), col(StoredCommand.name) == name, col(StoredCommand.id) != command.id
    )
    if (await session.execute(taken)).scalar_one_or_none() is not None:
        raise ConflictError(f"a command {name!r} already exists", code="already-exists")
    if (command.name, command.response, command.webhook) == (name, response, webhook):
        return
    command.name, command.response, command.webhook = name, response, webhook
    command.updated_at = (await session.execute(select(func.now()))).scalar_one()
    await session.flush()
    await _check_limits(session, owner)


def _rows(scope: Scope) -> Select[StoredCommand, str | None]:
    query = select(StoredCommand, col(Bot.id)).join(Bot, col(Bot.key) == col(StoredCommand.bot_key), isouter=True)
    return query.where(visible(scope))


async def _lock(session: AsyncSession, owner: Owner) -> None:
    name = f"botdock commands of {owner.server_name}/{owner.bot_key}"
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))").bindparams(name=name))


async def _check_limits(session: AsyncSession, owner: Owner) -> None:
    number, size = (await session.execute(select(func.count(), func.sum(_SIZE)).where(owner.holds()))).one()
    if number > MAX_COMMANDS:
        raise LimitReachedError(f"there are already {MAX_COMMANDS} commands, the maximum: delete one first")
    if size > MAX_BYTES:
        raise LimitReachedError(f"the responses of all commands together must not exceed {MAX_BYTES >> 10} KiB")
