"""Rows of `servers`, with the number of their bots and whether they have a leader."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import and_, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from orchestrator.db.models import Bot, BotStatus, Server
from orchestrator.db.phases import SHOWN_PHASE
from orchestrator.db.scope import Scope
from orchestrator.errors import ConflictError, NotFoundError

CONTROLLER_SILENT_AFTER = timedelta(seconds=30)
"""A leader that has not been seen for so long counts as gone."""

IS_REFUSING = func.coalesce(col(Server.refused_at) > func.now() - literal(CONTROLLER_SILENT_AFTER), False)
"""Whether a controller on another engine waits."""

HAS_LEADER = and_(
    col(Server.controller).is_not(None),
    func.coalesce(col(Server.controller_seen_at) > func.now() - literal(CONTROLLER_SILENT_AFTER), False),
)


@dataclass(frozen=True, slots=True)
class ServerOverview:
    """A server with its leader's presence and its bots' phases."""

    server: Server
    has_leader: bool
    """Whether a controller reconciles its bots."""
    is_refusing: bool
    """Whether a controller is running on an engine to which the server is not bound."""
    phases: dict[str, int]
    """Number of bots by phase, without phases that have none."""

    @property
    def bots(self) -> int:
        """The number of its bots."""
        return sum(self.phases.values())


async def page(session: AsyncSession, scope: Scope, *, limit: int, after: str | None = None) -> list[ServerOverview]:
    """At most `limit` servers in the order of their names, starting after `after`."""
    query = select(Server, HAS_LEADER, IS_REFUSING).where(scope.covers(col(Server.name)))
    query = query.order_by(col(Server.name)).limit(limit)
    if after is not None:
        query = query.where(col(Server.name) > after)
    rows = (await session.execute(query)).all()
    phases = await _phases(session, [server.name for server, _, _ in rows])
    return [ServerOverview(*row, phases.get(row[0].name, {})) for row in rows]


async def find(session: AsyncSession, scope: Scope, name: str) -> ServerOverview:
    """One server. Raises NotFoundError, also for a server outside the scope."""
    query = select(Server, HAS_LEADER, IS_REFUSING).where(scope.covers(col(Server.name)), col(Server.name) == name)
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise NotFoundError(f"server {name!r} does not exist")
    phases = await _phases(session, [name])
    return ServerOverview(*row, phases.get(name, {}))


async def controller(session: AsyncSession, name: str) -> str | None:
    """Where a server's leader listens (`host:port`); None without one."""
    query = select(col(Server.controller)).where(col(Server.name) == name, HAS_LEADER)
    return (await session.execute(query)).scalar_one_or_none()


async def create(session: AsyncSession, *, name: str, max_bots: int) -> None:
    """Create a server. Raises ConflictError if the name is taken."""
    inserted = await session.execute(
        insert(Server).values(name=name, max_bots=max_bots).on_conflict_do_nothing().returning(col(Server.name))
    )
    if inserted.one_or_none() is None:
        raise ConflictError(f"server {name!r} already exists", code="already-exists")


async def set_max_bots(session: AsyncSession, scope: Scope, name: str, max_bots: int) -> None:
    """Change how many bots a server may have. Raises NotFoundError."""
    query = select(Server).where(scope.covers(col(Server.name)), col(Server.name) == name)
    server = (await session.execute(query.with_for_update(key_share=True))).scalar_one_or_none()
    if server is None:
        raise NotFoundError(f"server {name!r} does not exist")
    server.max_bots = max_bots
    await session.flush()


async def _phases(session: AsyncSession, names: list[str]) -> dict[str, dict[str, int]]:
    query = (
        select(col(Bot.server_name), SHOWN_PHASE, func.count())
        .join(BotStatus, col(BotStatus.bot_key) == col(Bot.key))
        .where(col(Bot.server_name).in_(names))
        .group_by(col(Bot.server_name), SHOWN_PHASE)
    )
    phases: dict[str, dict[str, int]] = {}
    for server, phase, number in (await session.execute(query)).all():
        phases.setdefault(server, {})[phase] = number
    return phases


async def leader_settings(session: AsyncSession, name: str) -> dict[str, str]:
    """Digests of the settings of a server's leader by name; empty if it never had one."""
    found = await session.scalar(select(col(Server.controller_settings)).where(col(Server.name) == name))
    return found or {}
