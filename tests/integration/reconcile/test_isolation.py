"""Rows of one bot that another transaction holds delay that bot only."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from bot_runtime.contract import EventType
from orchestrator.controller import controller
from orchestrator.db.models import Bot, BotStatus
from orchestrator.db.session import Database
from orchestrator.engine.base import ObservedContainer
from orchestrator.reconcile import reconciler, status_store
from orchestrator.reconcile.bot_state import BotState
from orchestrator.reconcile.status_store import StatusStore
from orchestrator.states import Phase
from tests.integration.reconcile.conftest import SERVER, Site, eventually, name
from tests.support.leases import take_over


@asynccontextmanager
async def lock(site: Site, table: str, bot: str) -> AsyncIterator[None]:
    """Hold a bot's row."""
    async with await psycopg.AsyncConnection.connect(site.url) as connection:
        key = "key" if table == "bots" else "bot_key"
        rows = f"SELECT 1 FROM {table} WHERE {key} = (SELECT key FROM bots WHERE id = %s) FOR UPDATE"
        await connection.execute(rows, [bot])
        yield


@pytest.fixture
async def database(site: Site) -> AsyncIterator[Database]:
    database = Database(site.settings())
    try:
        yield database
    finally:
        await database.close()


async def changed(site: Site, store: StatusStore) -> dict[str, BotState]:
    """Three bots whose status in memory differs from their rows, with an event each."""
    for bot in ("bot-1", "bot-2", "bot-3"):
        await site.create(bot)
    rows: list[tuple[Bot, BotStatus]] = []
    await store.read_bots(rows.extend)
    states = {bot.id: BotState.from_rows(bot, status) for bot, status in rows}
    for state in states.values():
        state.phase = Phase.STARTING
        state.add_event(EventType.CONTAINER_START, {}, now=0)
    return states


async def stored(site: Site) -> list[str]:
    """The bots whose status and event were written."""
    return await site.sql(
        "SELECT bots.id "
        "FROM bots JOIN bot_status ON bot_status.bot_key = key JOIN bot_events ON bot_events.bot_key = key "
        "WHERE phase = 'starting' ORDER BY 1"
    )


@pytest.mark.parametrize("table", ["bots", "bot_status"])
async def test_a_flush_leaves_out_a_bot_whose_row_is_locked(site: Site, database: Database, table: str) -> None:
    store = StatusStore(database, server=SERVER, epoch=await take_over(site.url, SERVER))
    states = await changed(site, store)
    async with lock(site, table, "bot-2"):
        await store.flush(list(states.values()))
        assert await stored(site) == ["bot-1", "bot-3"]
    await store.flush(list(states.values()))
    assert await stored(site) == ["bot-1", "bot-2", "bot-3"]


async def test_a_flush_leaves_out_a_bot_that_is_being_written(site: Site, database: Database) -> None:
    store = StatusStore(database, server=SERVER, epoch=await take_over(site.url, SERVER))
    states = await changed(site, store)
    async with states["bot-2"].writing:
        await store.flush(list(states.values()))
    assert await stored(site) == ["bot-1", "bot-3"]


async def test_a_killed_bot_is_restarted_while_the_row_of_another_is_locked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "FLUSH_INTERVAL_SECONDS", 0.05)
    await site.start()
    for bot in ("bot-1", "bot-2"):
        await site.create(bot)
        await site.phase(bot, "online")

    async def waiting() -> list[str]:
        return await site.sql("SELECT xact_start::text FROM pg_stat_activity WHERE wait_event_type = 'Lock' ORDER BY 1")

    async def restarts() -> bool:
        status = await site.status("bot-1")
        return status is not None and status["restarts"] == 1 and status["phase"] == "online"

    async with lock(site, "bots", "bot-2"):
        site.host.crash(name("bot-2"), 2)
        before = await eventually(waiting)
        site.host.crash(name("bot-1"), 2)
        await eventually(restarts)
        # The write that waits for the lock has not ended meanwhile, which would have freed the others.
        assert set(before) <= set(await waiting())
    await site.phase("bot-2", "online")


async def test_a_killed_bot_is_restarted_while_the_engine_hangs_for_others(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "HELD_UP_SECONDS", 0.05)
    leader = await site.start(reconcile_workers=2)
    others = ["bot-2", "bot-3", "bot-4"]
    for bot in ("bot-1", *others):
        await site.create(bot)
        await site.phase(bot, "online")
    stuck = {site.host.containers[name(bot)].id for bot in others}
    held: set[str] = set()
    released = asyncio.Event()
    inspect = leader.engine.inspect

    async def hang(container: str) -> ObservedContainer | None:
        if container in stuck:
            held.add(container)
            await released.wait()
        return await inspect(container)

    monkeypatch.setattr(leader.engine, "inspect", hang)
    for bot in others:
        site.host.crash(name(bot), 2)
    await site.seen(lambda: held == stuck)
    site.host.crash(name("bot-1"), 2)

    async def is_restarted() -> bool:
        status = await site.status("bot-1")
        return status is not None and status["restarts"] == 1 and status["phase"] == "online"

    await eventually(is_restarted)
    released.set()
    for bot in others:
        await site.phase(bot, "online")


async def test_rows_of_many_bots_are_read_some_at_a_time(
    site: Site, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_store, "BOTS_PER_CHUNK", 2)
    bots = [f"bot-{number}" for number in range(5)]
    for bot in bots:
        await site.create(bot)
    chunks: list[list[str]] = []
    others: list[int] = []

    def take(rows: Sequence[tuple[Bot, BotStatus]]) -> None:
        chunks.append([bot.id for bot, _ in rows])
        asyncio.get_running_loop().call_soon(lambda: others.append(len(chunks)))

    await StatusStore(database, server=SERVER, epoch=0).read_bots(take)
    assert [len(chunk) for chunk in chunks] == [2, 2, 1]
    assert sorted(bot for chunk in chunks for bot in chunk) == bots
    assert others == [1, 2, 3], "what else is to be done is done between two of them"


async def test_a_controller_waits_only_briefly_for_a_locked_row(site: Site) -> None:
    database = Database(site.settings(), lock_timeout_ms=100)
    store = StatusStore(database, server=SERVER, epoch=await take_over(site.url, SERVER))
    states = await changed(site, store)
    async with lock(site, "bots", "bot-2"):
        with pytest.raises(OperationalError, match="lock timeout"):
            await store.write(states["bot-2"])
    await store.write(states["bot-2"])
    assert await stored(site) == ["bot-2"]
    await database.close()


async def test_the_leader_is_reported_while_the_deletion_of_old_events_takes_long(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller, "SEEN_INTERVAL_SECONDS", 0.05)
    await site.create("bot-1")
    await site.sql(
        "INSERT INTO bot_events (server_name, bot_key, type, timestamp) "
        "SELECT server_name, key, 'error', '2020-01-01Z' FROM bots"
    )

    async def waiting() -> list[str]:
        return await site.sql(
            "SELECT xact_start::text FROM pg_stat_activity "
            "WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )

    async def seen() -> list[str]:
        return await site.sql("SELECT controller_seen_at::text FROM servers WHERE controller_seen_at IS NOT NULL")

    async with lock(site, "bot_events", "bot-1"):
        await site.start()
        before = await eventually(waiting)
        first = await eventually(seen)
        await eventually(seen, lambda found: found > first)
        assert await waiting() == before, "the deletion has not ended meanwhile"


NO_LARGE_DELETES = """
    CREATE FUNCTION refuse_large_delete() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF (SELECT count(*) FROM deleted) > 10 THEN RAISE 'more than 10 rows deleted at once'; END IF;
        RETURN NULL;
    END $$
"""
NO_LARGE_DELETES_OF = """
    CREATE TRIGGER refuse AFTER DELETE ON {} REFERENCING OLD TABLE AS deleted
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_large_delete()
"""


async def test_a_bot_is_deleted_in_bounded_batches(
    site: Site, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_store, "PRUNE_BATCH", 10)
    store = StatusStore(database, server=SERVER, epoch=await take_over(site.url, SERVER))
    for bot in ("bot-1", "bot-2", "bot-3"):
        await site.create(bot, deleting=bot != "bot-2")
        await site.sql(
            "INSERT INTO bot_events (server_name, bot_key, type, data, timestamp) "
            "SELECT server_name, key, 'error', '{}', now() FROM bots, generate_series(1, 25) WHERE id = %s",
            bot,
        )
        await site.sql(
            "INSERT INTO messages (id, server_name, bot_key, to_chat, content, request_hash) "
            "SELECT gen_random_uuid()::text, server_name, key, 'chat', '{}', '' FROM bots, generate_series(1, 25) "
            "WHERE bots.id = %s",
            bot,
        )
    await site.sql(NO_LARGE_DELETES)
    for table in ("bot_events", "messages"):
        await site.sql(NO_LARGE_DELETES_OF.format(table))
    await store.forget("bot-1")
    await store.forget("bot-2")  # not marked as deleting
    assert await site.sql("SELECT id FROM bots ORDER BY id") == ["bot-2", "bot-3"]
    for table in ("bot_events", "messages"):
        rows = await site.sql(f"SELECT bots.id, count(*) FROM {table} JOIN bots ON bot_key = key GROUP BY 1 ORDER BY 1")
        assert rows == [("bot-2", 25), ("bot-3", 25)]
