"""Bots of two servers with the same id, in Postgres: each server's controller works with its own only."""

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from bot_runtime.contract import Event, EventPage, EventType
from orchestrator.db import bots, events, volume_owners
from orchestrator.db.bots import PageStart
from orchestrator.db.models import Bot, BotStatus
from orchestrator.db.scope import Scope
from orchestrator.db.session import Database
from orchestrator.errors import ConflictError
from orchestrator.outbox.store import OutboxStore
from orchestrator.reconcile.bot_state import BotState
from orchestrator.reconcile.status_store import StatusStore
from orchestrator.settings import Settings
from tests.support.leases import take_over

BOT = "shop"
NOW = datetime.now(UTC)


class Server:
    """A server with a bot, and the stores of its leader."""

    def __init__(self, name: str, url: str, database: Database, epoch: int) -> None:
        self.name = name
        self.url = url
        self.status = StatusStore(database, server=name, epoch=epoch)
        self.outbox = OutboxStore(database, server=name, epoch=epoch)

    async def sql(self, statement: str, *values: Any) -> list[Any]:
        """Run one statement; its rows."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            cursor = await connection.execute(statement, values or None)  # type: ignore[call-overload, unused-ignore]
            return await cursor.fetchall() if cursor.description else []

    async def create(self) -> None:
        """Insert the bot."""
        await self.sql("INSERT INTO bots (id, server_name, name) VALUES (%s, %s, 'Bot')", BOT, self.name)

    async def state(self) -> BotState:
        """What a controller that starts now holds of the bot."""
        [row] = await self.rows()
        return BotState.from_rows(*row)

    async def rows(self) -> list[tuple[Bot, BotStatus]]:
        """What a controller reads of all its bots."""
        rows: list[tuple[Bot, BotStatus]] = []
        await self.status.read_bots(rows.extend)
        return rows


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(Settings(database_url=database_url))
    yield database
    await database.close()


@pytest.fixture
async def servers(database_url: str, database: Database) -> list[Server]:
    found = []
    for name in ("server1", "server2"):
        found.append(Server(name, database_url, database, await take_over(database_url, name)))
        await found[-1].create()
    return found


async def test_a_controller_reads_and_writes_only_the_bot_of_its_server(
    servers: list[Server], database: Database
) -> None:
    for server in servers:
        state = await server.state()
        assert state.bot.server_name == server.name
        state.restarts = 7 if server is servers[0] else 8
        state.add_event(EventType.CONTAINER_START, {"of": server.name}, now=NOW.timestamp())
        await server.status.write(state)
        stored = Event(seq=1, type=EventType.ERROR, data={"of": server.name}, timestamp=NOW)
        await server.status.ingest(state.bot, EventPage(spool_id="the same", items=[stored], next=1))
    assert await servers[0].sql("SELECT server_name, restarts, errors FROM bot_status ORDER BY 1") == [
        ("server1", 7, 1),
        ("server2", 8, 1),
    ]
    for server in servers:
        async with database.session() as session:
            bot, _ = await bots.find(session, Scope(server.name), BOT)
            found, _ = await events.newest(session, bot.key, limit=10)
        assert [item.data for item in found] == [{"of": server.name}] * 2


async def test_messages_are_delivered_by_the_controller_of_their_bots_server(servers: list[Server]) -> None:
    add = (
        "INSERT INTO messages (id, server_name, bot_key, to_chat, content, request_hash) "
        "SELECT 'of ' || server_name, server_name, key, 'chat', '{}', '' FROM bots WHERE server_name = %s RETURNING 1"
    )
    async with await psycopg.AsyncConnection.connect(servers[0].url, autocommit=True) as listening:
        await listening.execute("LISTEN botdock_messages")
        for server in servers:
            await server.sql(add, server.name)
        payloads = [found.payload async for found in listening.notifies(timeout=20, stop_after=2)]
    assert payloads == [f"server1/{BOT}", f"server2/{BOT}"]
    for server in servers:
        assert await server.outbox.waiting_bots() == [BOT]
        heads, _ = await server.outbox.heads(BOT)
        assert [head.id for head in heads] == [f"of {server.name}"]
    await servers[0].sql("UPDATE messages SET next_attempt_at = now() + interval '1 hour'")
    await servers[0].outbox.hurry(BOT)
    waiting = "SELECT server_name FROM messages WHERE next_attempt_at IS NOT NULL"
    assert await servers[0].sql(waiting) == [("server2",)]


async def test_what_is_written_late_for_a_deleted_bot_does_not_reach_the_one_that_has_its_id_now(
    servers: list[Server],
) -> None:
    server, other = servers
    former = await server.state()
    await server.sql("DELETE FROM bots WHERE server_name = %s", server.name)
    await server.create()
    former.restarts = 7
    former.add_event(EventType.CONTAINER_START, {}, now=NOW.timestamp())
    await server.status.write(former)
    late = Event(seq=1, type=EventType.ERROR, data={}, timestamp=NOW)
    with pytest.raises(DBAPIError, match="foreign key"):
        await server.status.ingest(former.bot, EventPage(spool_id="spool", items=[late], next=1))
    assert not await server.status.confirm(former.bot)
    assert (await server.state()).bot.key not in {former.bot.key, (await other.state()).bot.key}
    assert await server.sql("SELECT restarts, errors, spool_seq FROM bot_status") == [(0, 0, 0)] * 2
    assert await server.sql("SELECT count(*) FROM bot_events") == [(0,)]


async def test_deleting_a_bot_leaves_the_one_of_another_server(servers: list[Server]) -> None:
    server, other = servers
    await server.sql("UPDATE bots SET deleting = true")
    await server.status.forget(BOT)
    assert await server.rows() == []
    assert (await other.state()).bot.deleting


async def test_the_id_of_a_bot_cannot_be_changed(servers: list[Server]) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="cannot be changed"):
        await servers[0].sql("UPDATE bots SET id = 'other'")


@pytest.mark.parametrize("scope", [Scope(None), Scope("server2"), Scope(None, "server2")])
async def test_one_bot_and_a_page_are_read_from_an_index(
    servers: list[Server], database: Database, scope: Scope
) -> None:
    await servers[0].sql(
        "INSERT INTO bots (id, server_name, name) "
        "SELECT 'bot-' || number, name, 'Bot' FROM servers, generate_series(1, 2000) AS number"
    )
    await servers[0].sql("ANALYZE bots")
    await servers[0].sql("ANALYZE bot_status")
    executed: list[tuple[str, Any]] = []

    def remember(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        executed.append((statement, parameters))

    event.listen(database.engine.sync_engine, "before_cursor_execute", remember)
    async with database.session() as session:
        with suppress(ConflictError):  # two servers have one
            await bots.find(session, scope, "bot-1000")
        await bots.page(session, scope, limit=50, after=PageStart("bot-1000", "server1"))
        event.remove(database.engine.sync_engine, "before_cursor_execute", remember)
        for statement, parameters in executed:
            result = await (await session.connection()).exec_driver_sql(f"EXPLAIN {statement}", parameters)
            plan = result.scalars().all()
            assert any("Index" in line and " bots_" in line for line in plan), plan
            assert not [line for line in plan if "Seq Scan on bots" in line or "Sort" in line], plan


async def test_a_bot_that_adopts_a_volume_takes_its_name(servers: list[Server]) -> None:
    server, other = servers
    bot = (await server.state()).bot
    async with await psycopg.AsyncConnection.connect(server.url, autocommit=True) as connection:
        for _ in range(2):
            with suppress(ConflictError):  # the second time, its uid has changed already
                await volume_owners.adopt(
                    connection, server=server.name, bot_id=BOT, former=bot.uid, new="new", name="an-older-name"
                )
    changed = (await server.state()).bot
    assert (changed.uid, changed.resource_name, changed.generation) == ("new", "an-older-name", bot.generation + 1)
    assert (await other.state()).bot.resource_name == f"botdock-{other.name}-{BOT}"
