"""The fixtures' own proof, and that of the first migration: a fresh database is what the models say it is."""

import asyncio
import json

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel

from orchestrator.db import message_models, models
from orchestrator.db.migrate import config, migrate
from orchestrator.db.schema import wait_until_migrated
from orchestrator.db.session import Database
from orchestrator.settings import Settings
from tests.support.eventually import eventually


def is_no_partition(name: str | None, kind: str, _: object) -> bool:
    """Omits the partitions of `bot_events`, which are created as time passes."""
    return kind != "table" or not (name or "").startswith("bot_events_")


def test_the_migrations_create_the_tables_of_the_models(database_url: str) -> None:
    assert models.Bot.metadata is message_models.Message.metadata is SQLModel.metadata
    engine = create_engine(Settings(database_url=database_url).sqlalchemy_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_name": is_no_partition})
        assert compare_metadata(context, SQLModel.metadata) == []
    engine.dispose()


def test_migrating_again_changes_nothing_and_shows_no_second_key(database_url: str) -> None:
    settings = Settings(database_url=database_url)
    first = migrate(settings)
    second = migrate(settings)
    assert first.first_key is None
    assert second == first


def test_bots_of_earlier_versions_own_volumes_without_a_label(database_url: str) -> None:
    settings = Settings(database_url=database_url)
    new = text("INSERT INTO bots (id, server_name, name) VALUES (:id, 'server1', 'Bot')")
    engine = create_engine(settings.sqlalchemy_url)
    with engine.begin() as connection:
        command.downgrade(config(connection), "0006")
        connection.execute(new, {"id": "before"})
    migrate(settings)
    with engine.begin() as connection:
        connection.execute(new, {"id": "after"})
        uids: dict[str, str] = {row.id: row.uid for row in connection.execute(text("SELECT id, uid FROM bots"))}
    engine.dispose()
    assert uids["before"] == ""
    assert len(uids["after"]) == 36


def test_members_of_groups_move_to_a_table_of_their_own_and_back(database_url: str) -> None:
    settings = Settings(database_url=database_url)
    members = [
        {"id": "1@lid", "phoneNumber": "491", "admin": True},
        {"id": "2@lid", "phoneNumber": None, "admin": False},
    ]
    engine = create_engine(settings.sqlalchemy_url)
    with engine.begin() as connection:
        command.downgrade(config(connection), "0008")
        connection.execute(text("INSERT INTO bots (id, server_name, name) VALUES ('bot-1', 'server1', 'Bot')"))
        connection.execute(
            text(
                "INSERT INTO groups (id, bot_id, server_name, subject, description, members) "
                "VALUES ('1@g.us', 'bot-1', 'server1', '', '', :members), ('2@g.us', 'bot-1', 'server1', '', '', '[]')"
            ),
            {"members": json.dumps([*members, members[0]])},
        )
    migrate(settings)
    with engine.begin() as connection:
        rows = connection.execute(text("SELECT * FROM group_members ORDER BY id"))
        assert [tuple(row) for row in rows] == [
            ("bot-1", "1@g.us", "1@lid", "491", True),
            ("bot-1", "1@g.us", "2@lid", None, False),
        ]
        command.downgrade(config(connection), "0008")
        rows = connection.execute(text("SELECT id, members FROM groups ORDER BY id"))
        assert [tuple(row) for row in rows] == [("1@g.us", members), ("2@g.us", [])]
    engine.dispose()


def test_stored_events_of_controllers_get_a_source_of_their_own(database_url: str) -> None:
    settings = Settings(database_url=database_url)
    engine = create_engine(settings.sqlalchemy_url)
    events = [("phase-change", None), ("container-oom", "controller-1"), ("phase-change", "a1"), ("error", None)]
    with engine.begin() as connection:
        command.downgrade(config(connection), "0011")
        connection.execute(text("INSERT INTO bots (id, server_name, name) VALUES ('bot-1', 'server1', 'Bot')"))
        for kind, spool in events:
            connection.execute(
                text(
                    "INSERT INTO bot_events (server_name, bot_id, spool_id, type, timestamp) "
                    "VALUES ('server1', 'bot-1', :spool, :kind, now())"
                ),
                {"spool": spool, "kind": kind},
            )
    migrate(settings)
    with engine.begin() as connection:
        found = connection.execute(text("SELECT source FROM bot_events ORDER BY id")).scalars().all()
    engine.dispose()
    assert found == ["orchestrator", "orchestrator", "bot", "bot"]


def test_stored_events_become_the_oldest_partition_and_can_be_moved_back(database_url: str) -> None:
    settings = Settings(database_url=database_url)
    engine = create_engine(settings.sqlalchemy_url)
    add = (
        "INSERT INTO bot_events (server_name, {}, spool_id, seq, type, data, timestamp) "
        "SELECT 'server1', 'bot-1', 'spool', days + 100, 'error', jsonb_build_object('days', days), "
        "now() + interval '1 day' * days FROM unnest(CAST(:days AS integer[])) AS days RETURNING id"
    )
    rows = text("SELECT id, seq, data, timestamp FROM bot_events ORDER BY id")
    in_default = text("SELECT array_agg(seq - 100) FROM bot_events_default")
    with engine.begin() as connection:
        command.downgrade(config(connection), "0009")
        connection.execute(text("INSERT INTO bots (id, server_name, name) VALUES ('bot-1', 'server1', 'Bot')"))
        connection.execute(text(add.format("bot_id")), {"days": [-30, -1, 0, 2, 50]})
        before = connection.execute(rows).all()
    migrate(settings)
    with engine.begin() as connection:
        assert connection.execute(rows).all() == before
        assert connection.execute(in_default).scalar_one() == [50]
        oldest = [name for name in inspect(connection).get_table_names() if name.startswith("bot_events_before_")]
        assert [connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in oldest] == [3]
        repeated = text(
            "INSERT INTO bot_events (server_name, bot_key, spool_id, seq, type, timestamp) "
            "SELECT server_name, bot_key, spool_id, seq, type, timestamp FROM bot_events ON CONFLICT DO NOTHING"
        )
        assert connection.execute(repeated).rowcount == 0
        assert connection.execute(text(add.format("bot_key")), {"days": [-2]}).scalar_one() > before[-1].id
    with engine.begin() as connection:
        after = connection.execute(rows).all()
        command.downgrade(config(connection), "0009")
        assert connection.execute(rows).all() == after
    migrate(settings)
    with engine.begin() as connection:
        assert connection.execute(rows).all() == after
        connection.execute(text("DELETE FROM bots"))
        assert connection.execute(rows).all() == []
    engine.dispose()


def test_bots_get_keys_and_no_other_table_is_rewritten(database_url: str) -> None:
    settings = Settings(database_url=database_url)
    engine = create_engine(settings.sqlalchemy_url)
    # The file of a table or index changes when it is rewritten, and `xmin` when a row is.
    files = text(
        "SELECT relname, relfilenode FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname !~ '^bots' "
        "AND relname <> 'botdock_bot_key' AND relfilenode <> 0 ORDER BY relname"
    )
    rows = "SELECT xmin::text, {} AS bot, * FROM bot_events"
    events = (
        "INSERT INTO bot_events (server_name, {reference}, spool_id, seq, type, timestamp) "
        "SELECT server_name, {key}, 'spool', seq, 'error', now() FROM bots, generate_series(1, 3) AS seq WHERE {where}"
    )
    with engine.begin() as connection:
        command.downgrade(config(connection), "0012")
        connection.execute(text("INSERT INTO servers (name, max_bots) VALUES ('a-b', 20)"))
        connection.execute(
            text("INSERT INTO bots (id, server_name, name) VALUES ('shop', 'server1', 'S'), ('old', 'a-b', 'O')")
        )
        connection.execute(text(events.format(reference="bot_id", key="id", where="true")))
        connection.execute(
            text("INSERT INTO commands (id, server_name, bot_id, name, response) VALUES ('1', 'a-b', 'old', 'x', 'y')")
        )
        before = connection.execute(files).all(), connection.execute(text(rows.format("bot_id"))).all()
        spec = connection.execute(text("SELECT generation, updated_at FROM bots ORDER BY id")).all()
    migrate(settings)
    with engine.begin() as connection:
        assert (connection.execute(files).all(), connection.execute(text(rows.format("bot_key"))).all()) == before
        assert connection.execute(text("SELECT generation, updated_at FROM bots ORDER BY id")).all() == spec
        connection.execute(text("INSERT INTO bots (id, server_name, name) VALUES ('shop', 'a-b', 'New')"))
        found = connection.execute(text("SELECT key, id, server_name, resource_name FROM bots ORDER BY key"))
        assert [tuple(row) for row in found] == [
            ("#1", "shop", "a-b", "botdock-a-b.shop"),
            ("old", "old", "a-b", "botdock-a-b-old"),
            ("shop", "shop", "server1", "botdock-server1-shop"),
        ]
        connection.execute(text(events.format(reference="bot_key", key="key", where="key = '#1'")))
        connection.execute(
            text("INSERT INTO commands (id, server_name, bot_key, name, response) VALUES ('2', 'a-b', '#1', 'x', 'y')")
        )
    with pytest.raises(DBAPIError, match="the same id"), engine.begin() as connection:
        command.downgrade(config(connection), "0012")
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM bots WHERE key = 'shop'"))
        command.downgrade(config(connection), "0012")
        found = connection.execute(text("SELECT bot_id, count(*) FROM bot_events GROUP BY 1 ORDER BY 1"))
        assert [tuple(row) for row in found] == [("old", 3), ("shop", 3)]
        connection.execute(text("DELETE FROM bots"))
        left = "SELECT 1 FROM bot_events UNION ALL SELECT 1 FROM commands UNION ALL SELECT 1 FROM bot_status"
        assert connection.execute(text(left)).all() == []
    migrate(settings)
    engine.dispose()


async def test_what_keeps_a_process_waiting_for_postgres_is_logged(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(Settings(database_url=f"{database_url}-missing"))
    waiting = asyncio.create_task(wait_until_migrated(database))
    await asyncio.to_thread(eventually, lambda: "does not exist" in caplog.text)
    waiting.cancel()
    await asyncio.wait([waiting])
    await database.close()
    assert "Postgres is unavailable (check DATABASE_URL): " in caplog.text
