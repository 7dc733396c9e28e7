"""Rows of `commands`: those that a caller sees and changes, and those that a bot has.

A command of the bot wins over one of its server of the same name, and that over a global one.
"""

import uuid
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, func, or_, select, text
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from bot_runtime.contract import CustomCommand
from orchestrator.db.message_models import Command
from orchestrator.db.models import Bot
from orchestrator.db.scope import Scope
from orchestrator.errors import Conflict, LimitReached, NotFound

MAX_COMMANDS = 200
MAX_BYTES = 128 << 10
"""Of all texts of one scope together: a bot's configuration, with those of three scopes, must fit into 1 MiB."""

_SIZE = func.octet_length(func.coalesce(col(Command.response), "")) + func.octet_length(
    func.coalesce(col(Command.webhook), "")
)


class Owner(NamedTuple):
    """Whose a command is: of one bot, of a server's bots, or of all bots (both None)."""

    server_name: str | None
    bot_id: str | None

    def holds(self) -> ColumnElement[bool]:
        """The condition that a command is of exactly this owner."""
        return and_(
            col(Command.server_name).is_not_distinct_from(self.server_name),
            col(Command.bot_id).is_not_distinct_from(self.bot_id),
        )


def visible(scope: Scope) -> ColumnElement[bool]:
    """The condition that a command is in a scope: its server's and the global ones."""
    return or_(scope.covers(col(Command.server_name)), col(Command.server_name).is_(None))


async def of_bot(session: AsyncSession, bot: Bot) -> list[CustomCommand]:
    """The commands that a bot has, in the order of their names."""
    query = (
        select(col(Command.name), col(Command.response), col(Command.webhook))
        .where(
            or_(
                col(Command.bot_id) == bot.id,
                and_(
                    col(Command.bot_id).is_(None),
                    or_(col(Command.server_name) == bot.server_name, col(Command.server_name).is_(None)),
                ),
            )
        )
        .order_by(
            col(Command.name), col(Command.bot_id).asc().nulls_last(), col(Command.server_name).asc().nulls_last()
        )
        .ext(distinct_on(col(Command.name)))
    )
    rows = (await session.execute(query)).all()
    return [CustomCommand(name=row.name, response=row.response, webhook=row.webhook) for row in rows]


async def page(
    session: AsyncSession, scope: Scope, *, limit: int, after: str | None, bot_id: str | None, server_name: str | None
) -> list[Command]:
    """At most `limit` commands in the order of their ids, beginning after one."""
    query = select(Command).where(visible(scope)).order_by(col(Command.id)).limit(limit)
    if after is not None:
        query = query.where(col(Command.id) > after)
    if bot_id is not None:
        query = query.where(col(Command.bot_id) == bot_id)
    if server_name is not None:
        query = query.where(col(Command.server_name) == server_name)
    return list((await session.execute(query)).scalars())


async def find(session: AsyncSession, scope: Scope, command_id: str, *, for_change: bool = False) -> Command:
    """One command. Raises NotFound, also for one outside the scope."""
    query = select(Command).where(visible(scope), col(Command.id) == command_id)
    if for_change:
        query = query.with_for_update()
    row = (await session.execute(query)).scalar_one_or_none()
    if row is None:
        raise NotFound(f"there is no command {command_id!r}")
    return row


async def create(
    session: AsyncSession, owner: Owner, *, name: str, response: str | None, webhook: str | None
) -> Command:
    """A new command, not yet committed. Raises Conflict (the owner has one of that name) and LimitReached."""
    values = {"name": name, "response": response, "webhook": webhook}
    await _lock(session, owner)
    made = await session.execute(
        insert(Command)
        .values(id=uuid.uuid4().hex, server_name=owner.server_name, bot_id=owner.bot_id, **values)
        .on_conflict_do_nothing()
        .returning(Command)
    )
    row = made.scalar_one_or_none()
    if row is None:
        raise Conflict(f"there is a command {name!r} already", code="already-exists")
    await _keep_to_limits(session, owner)
    return row


async def change(
    session: AsyncSession, command: Command, *, name: str, response: str | None, webhook: str | None
) -> None:
    """Change a locked command. Raises Conflict and LimitReached."""
    owner = Owner(command.server_name, command.bot_id)
    await _lock(session, owner)
    taken = select(col(Command.id)).where(owner.holds(), col(Command.name) == name, col(Command.id) != command.id)
    if (await session.execute(taken)).scalar_one_or_none() is not None:
        raise Conflict(f"there is a command {name!r} already", code="already-exists")
    if (command.name, command.response, command.webhook) == (name, response, webhook):
        return
    command.name, command.response, command.webhook = name, response, webhook
    command.updated_at = (await session.execute(select(func.now()))).scalar_one()
    await session.flush()
    await _keep_to_limits(session, owner)


async def _lock(session: AsyncSession, owner: Owner) -> None:
    name = f"botdock commands of {owner.server_name}/{owner.bot_id}"
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))").bindparams(name=name))


async def _keep_to_limits(session: AsyncSession, owner: Owner) -> None:
    number, size = (await session.execute(select(func.count(), func.sum(_SIZE)).where(owner.holds()))).one()
    if number > MAX_COMMANDS:
        raise LimitReached(f"there are {MAX_COMMANDS} commands already, which is the most")
    if size > MAX_BYTES:
        raise LimitReached(f"the answers of all commands together may have {MAX_BYTES >> 10} KiB")
