"""The controller's reads and writes in Postgres, fenced by its epoch.

Every write checks, in the same statement or transaction, that the server's epoch is still the writer's own; when
another controller has taken over, nothing is written and LeadershipLostError is raised. Bots' rows are read by server.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Delete, bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel, col

from bot_runtime.contract import ORCHESTRATOR_EVENTS, CustomCommand, Event, EventPage, TakenOver
from orchestrator.db import commands, event_partitions, fence
from orchestrator.db.message_models import Message, StoredGroup
from orchestrator.db.models import Bot, BotEvent, BotKey, BotStatus, Installation, Server
from orchestrator.db.session import Database
from orchestrator.db.storable import storable, storable_time
from orchestrator.reconcile import event_handlers
from orchestrator.reconcile.bot_state import BotState, PendingEvent
from orchestrator.states import EventSource

_STATUS = SQLModel.metadata.tables["bot_status"]
_EVENTS = SQLModel.metadata.tables["bot_events"]
_INSERT_NEW_EVENTS = insert(_EVENTS).on_conflict_do_nothing().returning(_EVENTS.c.seq)
"""Compiled once, because its rows are passed on execution; with the rows in it, it would be compiled for every page."""

_INSERT_OWN_EVENTS = insert(_EVENTS).on_conflict_do_nothing()
_BOT = (
    select(Bot, BotStatus)
    .join(BotStatus, col(BotStatus.bot_key) == col(Bot.key))
    .where(col(Bot.server_name) == bindparam("server"), col(Bot.id) == bindparam("bot"))
)

BOTS_PER_CHUNK = 100
"""Read as models together, which takes about 10 ms."""
_BOTS = (
    select(Bot, BotStatus)
    .join(BotStatus, col(BotStatus.bot_key) == col(Bot.key))
    .where(col(Bot.server_name) == bindparam("server"), col(Bot.id) > bindparam("last"))
    .order_by(col(Bot.id))
    .limit(bindparam("limit"))
)

_LOCK_AVAILABLE = text(
    "SELECT bot_status.bot_key FROM bot_status JOIN bots ON bots.key = bot_status.bot_key "
    "WHERE bot_status.bot_key = ANY(:keys) "
    "FOR NO KEY UPDATE OF bot_status SKIP LOCKED FOR KEY SHARE OF bots SKIP LOCKED"
)
"""Takes the locks that an update of the status and an insert of events need, of the bots where that needs no wait."""

_ADVANCE_GENERATIONS = text(
    "SELECT setval('botdock_config_generation', :generation) FROM botdock_config_generation "
    "WHERE last_value < :generation AND last_value + 1000000 > :generation"
)
"""The limit keeps a bot that reports any number from exhausting the sequence."""
_OUTGROW = text(
    "UPDATE bots SET config_generation = config_generation + 1 "
    "WHERE id = :bot AND server_name = :server AND config_generation < :generation "
    "AND (SELECT last_value FROM botdock_config_generation) >= :generation"
)
"""A trigger replaces the value by the sequence's next one."""

MAX_AHEAD = timedelta(days=2)
"""How far an event of a bot may be dated ahead of the controller's clock: less than the partitions reach."""
STATEMENT_BYTES = 256 << 10
"""Of the data of events in one statement, unless it has a single one: the connection keeps a buffer of that size."""
PRUNE_BATCH = 5_000
"""Rows deleted in one statement: few enough for its timeout."""
GROUP_BATCH = 20
"""Groups deleted in one statement, with up to about a thousand members each."""
_IN_PLACE = {"synchronize_session": False}


class StatusStore:
    """One server's rows, for the controller that holds `epoch`."""

    def __init__(self, database: Database, *, server: str, epoch: int) -> None:
        self._database = database
        self._server = server
        self._epoch = epoch
        # Built once: building it takes longer than Postgres needs for it.
        self._set_status = (
            update(_STATUS)
            .where(_STATUS.c.bot_key == bindparam("changed_bot"))
            .values(epoch=epoch, updated_at=func.now())
        )
        self._writer = f"controller-{secrets.token_hex(6)}"
        """Makes the numbers of this leader's own events unique."""

    async def read_bots(self, take: Callable[[Sequence[tuple[Bot, BotStatus]]], None]) -> None:
        """Call `take` with all bots of the server and their status, some at a time, of one snapshot.

        Reading thousands at once would hold up everything else in this process for seconds. A missing status row
        (removed manually) is created.
        """
        async with self._database.session() as session:
            without = select(col(Bot.key), col(Bot.server_name)).where(
                col(Bot.server_name) == self._server,
                ~select(col(BotStatus.bot_key)).where(col(BotStatus.bot_key) == col(Bot.key)).exists(),
            )
            await session.execute(
                insert(BotStatus)
                .from_select(["bot_key", "server_name"], without, include_defaults=False)
                .on_conflict_do_nothing()
            )
            await session.commit()
            # No cursor on the server, because psycopg cannot close one whose reader is cancelled while it waits.
            await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            after = {"server": self._server, "last": "", "limit": BOTS_PER_CHUNK}
            while rows := (await session.execute(_BOTS, after)).all():
                take([(bot, status) for bot, status in rows])
                after["last"] = rows[-1][0].id

    async def bot(self, bot_id: str) -> tuple[Bot, BotStatus] | None:
        """One bot with its status; None when it does not exist or belongs to another server."""
        async with self._database.session() as session:
            row = (await session.execute(_BOT, {"server": self._server, "bot": bot_id})).first()
            return None if row is None else (row[0], row[1])

    async def config(self, bot_id: str) -> tuple[Bot, list[CustomCommand], TakenOver | None] | None:
        """One bot with its commands, and how far its events were stored, in one snapshot.

        None when the bot does not exist or belongs to another server.
        """
        async with self._database.session() as session:
            # One snapshot: newer commands must not be sent under an older generation.
            await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            row = (await session.execute(_BOT, {"server": self._server, "bot": bot_id})).first()
            if row is None:
                return None
            bot, status = row
            taken = TakenOver(spool_id=status.spool_id, seq=status.spool_seq) if status.spool_id else None
            return bot, await commands.of_bot(session, bot), taken

    async def outgrow(self, bot_id: str, generation: int) -> None:
        """Raise the generation of a bot's configuration above the one that its runtime has.

        A restored database counts from an earlier number, and runtimes refuse what is older than theirs. Does nothing
        if the row has a generation as high already.
        """
        values = {"bot": bot_id, "server": self._server, "generation": generation}
        async with self._database.session() as session:
            await self._fence(session)
            await session.execute(_ADVANCE_GENERATIONS, values)
            await session.execute(_OUTGROW, values)
            await session.commit()

    async def confirm(self, bot: Bot) -> bool:
        """Whether the row is unchanged since it was read. Raises LeadershipLostError when it has a new leader."""
        async with self._database.session() as session:
            await self._fence(session)
            query = select(col(Bot.generation), col(Bot.created_at))
            row = (
                await session.execute(query.where(col(Bot.key) == bot.key, col(Bot.server_name) == self._server))
            ).first()
        # Compared here: Postgres may have a time that Python does not know (`db/tolerant.py`).
        return row is not None and tuple(row) == (bot.generation, bot.created_at)

    async def write(self, state: BotState) -> None:
        """Write what changed in a bot's status, and the events that belong to it, in one transaction.

        Waits while another transaction holds the bot's rows.
        """
        async with state.writing:
            await self._write([state])

    async def flush(self, states: Sequence[BotState]) -> None:
        """Write what changed in many bots, in one transaction, without waiting for any of them.

        Leaves out bots that are being written, or whose rows another transaction holds: waiting for one would hold up
        the writes of the others.
        """
        async with AsyncExitStack() as turns:
            free = [state for state in states if not state.writing.locked()]
            for state in free:
                await turns.enter_async_context(state.writing)
            await self._write(free, skip_locked=True)

    async def _write(self, states: Sequence[BotState], *, skip_locked: bool = False) -> None:
        work = [(state, state.changes(), list(state.events)) for state in states]
        work = [item for item in work if item[1] or item[2]]
        if not work:
            return
        async with self._database.session() as session:
            await self._fence(session)
            if skip_locked:
                keys = [state.bot.key for state, _, _ in work]
                unlocked = set(await session.scalars(_LOCK_AVAILABLE, {"keys": keys}))
                work = [item for item in work if item[0].bot.key in unlocked]
            for state, changes, _ in work:
                # Unknown until the commit is answered: if the answer is lost, these columns are written again.
                for column in changes:
                    state.written.pop(column, None)
            await self._update(session, {state.bot.key: changes for state, changes, _ in work if changes})
            own_events = [self._row(state.bot.key, event) for state, _, events in work for event in events]
            if own_events:
                await self._insert_own_events(session, own_events)
            await session.commit()
        for state, changes, events in work:
            state.written.update(changes)
            del state.events[: len(events)]

    async def _update(self, session: AsyncSession, changes: Mapping[BotKey, dict[str, Any]]) -> None:
        """One round trip for all bots with the same changed columns. Writes the table, not the model: the session's
        bookkeeping would cost several times as much, and this is most of what an idle controller writes."""
        alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for bot_key, values in changes.items():
            alike.setdefault(tuple(sorted(values)), []).append({"changed_bot": bot_key, **storable(values)})
        for rows in alike.values():
            await session.execute(self._set_status, rows)

    async def ingest(self, bot: Bot, page: EventPage) -> None:
        """Store a page of a bot's events, apply their effects, and advance its cursor, all in one transaction.

        Repeating a page changes nothing.
        """
        async with self._database.session() as session:
            await self._fence(session)
            if page.items:
                new = await self._insert_events(session, bot.key, page)
                await event_handlers.apply(session, bot, new)
            await self._update(session, {bot.key: {"spool_id": page.spool_id, "spool_seq": page.next}})
            await session.commit()

    async def _insert_events(self, session: AsyncSession, bot_key: BotKey, page: EventPage) -> list[Event]:
        """Insert the events that are not stored yet; returns those, oldest first."""
        now = datetime.now(UTC)
        # An event from the future would not expire, and those of all servers share the default partition.
        untimed = {event.seq for event in page.items if not storable_time(event.timestamp, before=now + MAX_AHEAD)}
        stored: set[int] = set()
        if untimed:
            # They get the time of storing, so the unique key would not recognize them when they are sent again.
            of_spool = (_EVENTS.c.bot_key == bot_key, _EVENTS.c.spool_id == page.spool_id)
            stored = set(await session.scalars(select(_EVENTS.c.seq).where(*of_spool, _EVENTS.c.seq.in_(untimed))))
        events = [
            msgspec.structs.replace(event, timestamp=now) if event.seq in untimed else event
            for event in page.items
            if event.seq not in stored
        ]
        rows = [
            {
                "server_name": self._server,
                "bot_key": bot_key,
                "spool_id": page.spool_id,
                "seq": event.seq,
                "type": storable(str(event.type)),
                "data": storable(event.data),
                "timestamp": event.timestamp,
                "source": EventSource.ORCHESTRATOR if event.type in ORCHESTRATOR_EVENTS else EventSource.BOT,
            }
            for event in events
        ]
        added: set[int] = set()
        for batch in batches(rows):
            added.update((await session.execute(_INSERT_NEW_EVENTS, batch)).scalars())
        return [event for event in events if event.seq in added]

    async def forget(self, bot_id: str) -> None:
        """Delete the row of a bot whose container and volume are gone, if it is still marked as deleting.

        Its events, messages and groups go first, in short transactions: with all of them, the row would be locked for
        long.
        """
        condemned = (
            select(col(Bot.key))
            .where(col(Bot.id) == bot_id, col(Bot.server_name) == self._server, col(Bot.deleting).is_(True))
            .scalar_subquery()
        )
        for table in (BotEvent, Message):
            of_bot = col(table.bot_key) == condemned
            some = select(col(table.id)).where(of_bot).limit(PRUNE_BATCH)
            # With the condition on both, each partition of the events is searched by its index of the bots' events.
            await self._repeat(delete(table).where(of_bot, col(table.id).in_(some)), PRUNE_BATCH)
        of_bot = col(StoredGroup.bot_key) == condemned
        some = select(col(StoredGroup.id)).where(of_bot).limit(GROUP_BATCH)
        await self._repeat(delete(StoredGroup).where(of_bot, col(StoredGroup.id).in_(some)), GROUP_BATCH)
        async with self._database.session() as session:
            await self._fence(session)
            await session.execute(delete(Bot).where(col(Bot.key) == condemned), execution_options=_IN_PLACE)
            await session.commit()

    async def _repeat(self, batch: Delete, size: int) -> None:
        """Repeat a statement that deletes up to `size` rows until none are left."""
        number = size
        while number >= size:
            async with self._transaction() as session:
                result = await session.execute(batch, execution_options=_IN_PLACE)
            number = int(getattr(result, "rowcount", 0))

    async def prune_events(self, *, days: int) -> int:
        """Remove expired events, and create the partitions of the days ahead.

        Whole partitions are dropped. What has expired in others, such as the default one, is deleted in short
        transactions; returns how many.
        """
        async with self._transaction() as session:
            await session.execute(
                update(Server).where(col(Server.name) == self._server).values(event_retention_days=days)
            )
        await event_partitions.maintain(self._transaction, retention_days=days)
        async with self._transaction() as session:
            partitions = await event_partitions.existing(session)
            cutoff = (await session.execute(select(func.now() - timedelta(days=days)))).scalar_one()
        deleted = 0
        for partition in partitions:
            if partition.may_have_expired_rows(cutoff, retention_days=days):
                deleted += await event_partitions.delete_expired(
                    self._transaction, partition, server=self._server, cutoff=cutoff, batch=PRUNE_BATCH
                )
        return deleted

    async def seen(self, address: str, settings: Mapping[str, str]) -> None:
        """Record that this controller is the server's leader, where it listens (`host:port`), and its settings."""
        async with self._database.session() as session:
            await self._fence(session)
            await session.execute(
                update(Server)
                .where(col(Server.name) == self._server)
                .values(controller=address, controller_seen_at=func.now(), controller_settings=dict(settings))
            )
            await session.commit()

    async def check_leadership(self) -> None:
        """Raise LeadershipLostError when another controller has taken over."""
        async with self._database.session() as session:
            await self._fence(session)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncSession]:
        """A fenced transaction, committed at the end of the block."""
        async with self._database.session() as session:
            await self._fence(session)
            yield session
            await session.commit()

    async def _fence(self, session: AsyncSession) -> None:
        await fence.hold(session, server=self._server, epoch=self._epoch)

    async def _insert_own_events(self, session: AsyncSession, events: list[dict[str, Any]]) -> None:
        # Only of bots that still exist: events of one that was deleted meanwhile must not fail the write.
        known = set(
            await session.scalars(select(col(Bot.key)).where(col(Bot.key).in_({event["bot_key"] for event in events})))
        )
        rows = [event for event in events if event["bot_key"] in known]
        if rows:
            # Some may be stored already, by a commit whose answer was lost.
            await session.execute(_INSERT_OWN_EVENTS, rows)

    def _row(self, bot_key: BotKey, event: PendingEvent) -> dict[str, Any]:
        return {
            "server_name": self._server,
            "bot_key": bot_key,
            "spool_id": self._writer,
            "seq": event.seq,
            "type": str(event.type),
            "data": storable(event.data),
            "timestamp": event.timestamp,
            "source": EventSource.ORCHESTRATOR,
        }


async def installation_id(database: Database) -> str:
    """The id that marks this installation's resources on a shared engine."""
    async with database.session() as session:
        return str((await session.execute(select(col(Installation.id)))).scalar_one())


def batches(rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Rows of events for one statement each: one, or as many as have STATEMENT_BYTES together."""
    first, size = 0, 0
    for number, row in enumerate(rows):
        own = len(msgspec.json.encode(row["data"]))
        if number > first and size + own > STATEMENT_BYTES:
            yield rows[first:number]
            first, size = number, 0
        size += own
    if rows:
        yield rows[first:]
