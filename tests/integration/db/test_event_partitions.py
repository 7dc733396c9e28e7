"""The events' partitions in Postgres: created ahead, dropped when expired, with everything stored exactly once."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from bot_runtime.contract import Event, EventPage
from orchestrator.clients.bot_answers import UNKNOWN_TIME
from orchestrator.db import event_partitions, events
from orchestrator.db.migrate import migrate
from orchestrator.db.models import Bot
from orchestrator.db.session import Database
from orchestrator.reconcile.status_store import StatusStore
from orchestrator.settings import Settings
from tests.support.databases import POSTGRES_IMAGE, at, execute
from tests.support.images import docker
from tests.support.leases import take_over

SERVER, OTHER = "server1", "server2"
DEFAULT = event_partitions.DEFAULT
NAMES = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'bot_events'::regclass ORDER BY 1"
ADD_RANGE = """
    CREATE TABLE {name} PARTITION OF bot_events
    FOR VALUES FROM ('{starts:%Y-%m-%d} 00:00+00') TO ('{ends:%Y-%m-%d} 00:00+00')
"""
ADD_EVENTS = """
    INSERT INTO bot_events (server_name, bot_key, spool_id, seq, type, timestamp)
    SELECT server_name, key, 'spool', seq, 'error', %s FROM bots, generate_series(1, 5) AS seq
"""


class Events:
    """The events of two servers with a bot each, and the first one's leader."""

    def __init__(self, url: str, database: Database, store: StatusStore, now: datetime) -> None:
        self.url = url
        self.database = database
        self.store = store
        self.now = now

    async def sql(self, statement: str, *values: Any) -> list[Any]:
        """Run one statement; its rows, or their values when there is one column."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            cursor = await connection.execute(statement, values or None)  # type: ignore[call-overload, unused-ignore]
            rows = await cursor.fetchall() if cursor.description else []
            return [row[0] if len(row) == 1 else row for row in rows]

    async def bot(self) -> Bot:
        """The first server's bot."""
        found = await self.store.bot("bot-1")
        assert found is not None
        return found[0]

    async def add_range(self, days_ago: int, *, days: int = 1) -> str:
        """A partition of the past; its name."""
        starts = self.now - timedelta(days=days_ago)
        name = f"bot_events_{starts:%Y%m%d}"
        await self.sql(ADD_RANGE.format(name=name, starts=starts, ends=starts + timedelta(days=days)))
        return name

    async def remove_last_ranges(self, number: int = 1) -> list[str]:
        """Remove ranges that the migration created, as if the time for them had not come yet; their names."""
        names = sorted(set(await self.sql(NAMES)) - {DEFAULT})[-number:]
        await self.sql(f"DROP TABLE {', '.join(names)}")
        return names

    async def add(self, *, days_ago: int) -> None:
        """Five events of each bot."""
        await self.add_at(self.now - timedelta(days=days_ago))

    async def add_at(self, timestamp: datetime) -> None:
        """Five events of each bot, at this time."""
        await self.sql(ADD_EVENTS, timestamp)

    async def by_server(self) -> list[Any]:
        """The number of events of each server."""
        return await self.sql("SELECT server_name, count(*) FROM bot_events GROUP BY 1 ORDER BY 1")


def rows_read(plan: dict[str, Any], table: str) -> Iterator[float]:
    """The rows of a table that each step of a query plan reads."""
    if plan.get("Relation Name") == table and "Actual Rows" in plan and plan["Node Type"] != "ModifyTable":
        yield plan["Actual Loops"] * (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0))
    for step in plan.get("Plans", []):
        yield from rows_read(step, table)


def noon(name: str) -> datetime:
    """A time in the range of a partition."""
    return datetime.strptime(name, "bot_events_%Y%m%d").replace(hour=12, tzinfo=UTC)


@pytest.fixture
async def stored(database_url: str) -> AsyncIterator[Events]:
    database = Database(Settings(database_url=database_url))
    store = StatusStore(database, server=SERVER, epoch=await take_over(database_url, SERVER))
    result = Events(database_url, database, store, datetime.now(UTC))
    await result.sql("INSERT INTO servers (name, max_bots) VALUES (%s, 1)", OTHER)
    await result.sql(
        "INSERT INTO bots (id, server_name, name) VALUES ('bot-1', %s, ''), ('bot-2', %s, '')", SERVER, OTHER
    )
    try:
        yield result
    finally:
        await database.close()


async def test_the_migration_creates_the_days_ahead_and_the_leader_those_that_follow(stored: Events) -> None:
    names = await stored.sql(NAMES)
    assert len(names) == 5
    assert DEFAULT in names
    await stored.remove_last_ranges()
    for _ in range(2):
        assert await stored.store.prune_events(days=7) == 0
        assert set(names) <= set(await stored.sql(NAMES))


async def test_expired_partitions_are_dropped_without_deleting_rows(stored: Events) -> None:
    await stored.sql("UPDATE servers SET event_retention_days = 3")
    for days_ago in (10, 9, 8, 6):
        await stored.add_range(days_ago)
        await stored.add(days_ago=days_ago)
    before = set(await stored.sql(NAMES))
    await stored.sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''deleted''; END'")
    await stored.sql("CREATE TRIGGER refuse BEFORE DELETE ON bot_events FOR EACH ROW EXECUTE FUNCTION refuse()")
    assert await stored.store.prune_events(days=7) == 0
    dropped = sorted(before - set(await stored.sql(NAMES)))
    assert dropped == [f"bot_events_{stored.now - timedelta(days=days):%Y%m%d}" for days in (10, 9, 8)]
    assert await stored.by_server() == [(SERVER, 5), (OTHER, 5)]


@pytest.mark.parametrize("retention", ["90", "NULL"])
async def test_the_events_of_a_server_with_a_longer_or_unknown_retention_are_kept(
    stored: Events, monkeypatch: pytest.MonkeyPatch, retention: str
) -> None:
    monkeypatch.setattr("orchestrator.reconcile.status_store.PRUNE_BATCH", 2)
    await stored.sql(f"UPDATE servers SET event_retention_days = {retention} WHERE name = '{OTHER}'")
    name = await stored.add_range(20)
    await stored.add(days_ago=20)
    assert await stored.store.prune_events(days=7) == 5
    assert await stored.by_server() == [(OTHER, 5)]
    assert name in await stored.sql(NAMES)
    assert await stored.sql("SELECT event_retention_days FROM servers WHERE name = %s", SERVER) == [7]
    await stored.sql("DELETE FROM bots WHERE server_name = %s", OTHER)
    assert await stored.store.prune_events(days=7) == 0
    assert name not in await stored.sql(NAMES)


async def test_no_event_of_another_server_is_read_when_expired_ones_are_deleted(stored: Events) -> None:
    add = (
        "INSERT INTO bot_events (server_name, bot_key, spool_id, seq, type, timestamp) "
        "SELECT server_name, key, 'many', seq, 'error', %s FROM bots, generate_series(1, 1000) AS seq "
        "WHERE server_name = %s"
    )
    for days_ago in (40, 6):
        await stored.add(days_ago=days_ago)
        await stored.sql(add, stored.now - timedelta(days=days_ago), OTHER)
    await stored.sql(add, stored.now - timedelta(days=6), SERVER)
    await stored.sql(f"ANALYZE {DEFAULT}")
    values = {"server": SERVER, "cutoff": stored.now - timedelta(days=7), "batch": 500}
    async with stored.database.session() as session:
        explain = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {event_partitions.DELETE_EXPIRED.format(name=DEFAULT)}")
        [[result]] = (await session.execute(explain, values)).scalars().all()
    # Five expired ones are looked at, found and deleted; one shows where they end.
    assert sum(rows_read(result["Plan"], DEFAULT)) <= 3 * 5 + 1
    assert await stored.store.prune_events(days=7) == 5
    assert await stored.by_server() == [(SERVER, 1005), (OTHER, 2010)]


async def test_events_without_a_range_are_kept_in_the_default_partition_until_they_expire(stored: Events) -> None:
    for days_ago in (40, 6, -400):
        await stored.add(days_ago=days_ago)
    assert await stored.sql(f"SELECT count(*) FROM {DEFAULT}") == [30]
    assert await stored.store.prune_events(days=7) == 5
    assert await stored.sql(f"SELECT count(*) FROM {DEFAULT} WHERE server_name = %s", SERVER) == [10]


async def test_a_new_range_takes_over_the_events_of_a_bot_whose_clock_is_ahead(stored: Events) -> None:
    [last] = await stored.remove_last_ranges()
    await stored.add_at(noon(last))
    await stored.add_at(noon(last) + timedelta(days=9))
    before = await stored.sql("SELECT id, bot_key, seq, timestamp FROM bot_events ORDER BY id")
    await stored.store.prune_events(days=7)
    assert await stored.sql(f"SELECT count(*) FROM {last}") == [10]
    assert await stored.sql(f"SELECT count(*) FROM {DEFAULT}") == [10]
    assert await stored.sql("SELECT id, bot_key, seq, timestamp FROM bot_events ORDER BY id") == before


async def test_a_range_with_too_many_events_in_the_default_partition_is_skipped(
    stored: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = await stored.sql(NAMES)
    third, _ = await stored.remove_last_ranges(2)
    await stored.add_at(noon(third))
    monkeypatch.setattr(event_partitions, "MOVED_AT_MOST", 9)
    for _ in range(2):
        await stored.store.prune_events(days=7)
        assert set(names) - set(await stored.sql(NAMES)) == {third}
    assert await stored.sql(f"SELECT count(*) FROM {DEFAULT}") == [10]


async def test_a_page_is_stored_once_in_whichever_partition_its_events_are(stored: Events) -> None:
    third, _ = await stored.remove_last_ranges(2)
    days = timedelta(days=1)
    third_begins = noon(third) - days / 2
    timestamps = (stored.now - 400 * days, stored.now, stored.now + days, third_begins, stored.now + 400 * days)
    items = [Event(seq=seq, type="error", data={}, timestamp=at) for seq, at in enumerate(timestamps, start=1)]
    page = EventPage(spool_id="spool", items=items, next=5)
    for _ in range(2):
        await stored.store.ingest(await stored.bot(), page)
        await stored.store.prune_events(days=3650)
    assert await stored.sql("SELECT seq FROM bot_events ORDER BY id") == [1, 2, 3, 4, 5]
    assert await stored.sql(f"SELECT count(*) FROM {third}") == [1]
    # It would never expire.
    assert await stored.sql("SELECT count(*) FROM bot_events WHERE timestamp > now() + interval '3 days'") == [0]


async def test_an_event_whose_time_cannot_be_read_is_stored_once(stored: Events) -> None:
    unreadable = Event(seq=1, type="error", data={}, timestamp=UNKNOWN_TIME)
    readable = Event(seq=2, type="error", data={}, timestamp=stored.now)
    await stored.store.ingest(await stored.bot(), EventPage(spool_id="spool", items=[unreadable], next=1))
    for _ in range(2):
        await stored.store.ingest(await stored.bot(), EventPage(spool_id="spool", items=[unreadable, readable], next=2))
    assert await stored.sql("SELECT seq FROM bot_events WHERE timestamp > now() - interval '1 hour' ORDER BY id") == [
        1,
        2,
    ]


async def test_pages_are_read_in_the_order_of_ids_across_partitions(stored: Events) -> None:
    for days_ago in (0, 30, -1, 1, -30):
        await stored.add(days_ago=days_ago)
    ids = await stored.sql(
        "SELECT id FROM bot_events WHERE bot_key = (SELECT key FROM bots WHERE id = 'bot-1') ORDER BY id"
    )
    bot = await stored.bot()
    async with stored.database.session() as session:
        newest, _ = await events.newest(session, bot.key, limit=20)
        following, _ = await events.after(session, bot.key, limit=20, after_id=ids[4])
    assert [row.id for row in newest] == ids[:4:-1]
    assert [row.id for row in following] == ids[5:]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM bot_events WHERE bot_key = '#1' ORDER BY id DESC LIMIT 20",
        "SELECT * FROM bot_events WHERE bot_key = '#1' AND id > 5 ORDER BY id LIMIT 20",
    ],
)
async def test_a_page_is_read_from_the_index_of_each_partition_without_sorting(stored: Events, query: str) -> None:
    # Small tables are scanned whatever indexes there are; what is tested is that the index gives the order.
    options = "-c enable_seqscan=off -c enable_bitmapscan=off"
    async with await psycopg.AsyncConnection.connect(stored.url, options=options) as connection:
        plan = await (await connection.execute(f"EXPLAIN {query}")).fetchall()  # type: ignore[call-overload, unused-ignore]
    text = "\n".join(line for (line,) in plan)
    assert text.count("bot_id_id_idx") == 5, text
    assert "Merge Append" in text
    assert "->  Sort" not in text


async def test_a_partition_that_is_being_read_is_dropped_later(
    stored: Events, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(event_partitions, "LOCK_TIMEOUT_MS", 50)
    monkeypatch.setattr(event_partitions, "ATTEMPTS", 1)
    await stored.sql("UPDATE servers SET event_retention_days = 7")
    name = await stored.add_range(20)
    async with await psycopg.AsyncConnection.connect(stored.url) as reader:
        await reader.execute("SELECT FROM bot_events")  # holds its lock until the transaction ends
        assert await stored.store.prune_events(days=7) == 0
        assert name in await stored.sql(NAMES)
        assert "LockNotAvailable" in caplog.text
    await stored.store.prune_events(days=7)
    assert name not in await stored.sql(NAMES)


async def test_a_dump_with_partitions_can_be_restored(stored: Events, postgres_url: str) -> None:
    for days_ago in (-1, 0, 30):
        await stored.add(days_ago=days_ago)
    client = ("run", "--rm", "--interactive", "--network", "host", "--entrypoint")
    dump = await asyncio.to_thread(docker, *client, "pg_dump", POSTGRES_IMAGE, stored.url)
    restored = f"botdock_restored_{uuid.uuid4().hex[:12]}"
    execute(postgres_url, f'CREATE DATABASE "{restored}"')
    url = at(postgres_url, restored)
    try:
        options = ("--quiet", "--set", "ON_ERROR_STOP=1", url)
        await asyncio.to_thread(docker, *client, "psql", POSTGRES_IMAGE, *options, stdin=dump)
        assert migrate(Settings(database_url=url)).first_key is None
        database = Database(Settings(database_url=url))
        store = StatusStore(database, server=SERVER, epoch=await take_over(url, SERVER))
        copy = Events(url, database, store, stored.now)
        everything = "SELECT tableoid::regclass::text, bot_events.* FROM bot_events ORDER BY id"
        assert await copy.sql(everything) == await stored.sql(everything)
        assert await store.prune_events(days=7) == 5
        await copy.add(days_ago=-2)
        await database.close()
    finally:
        execute(postgres_url, f'DROP DATABASE "{restored}" WITH (FORCE)')
