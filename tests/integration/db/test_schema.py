"""The tables: upgrade and downgrade, and the effect of triggers and constraints for any writer."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import psycopg
import pytest
from alembic import command
from psycopg.errors import CheckViolation, ForeignKeyViolation
from sqlalchemy import create_engine, text

from orchestrator.db.migrate import config, migrate
from orchestrator.db.models import CHANGES_CHANNEL
from orchestrator.settings import Settings

WHAT_IS_THERE = """
    SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'alembic%'
    UNION ALL SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A plain connection, as any program may open one."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def bot(connection: psycopg.Connection[Any]) -> str:
    """A bot created with plain SQL."""
    connection.execute("INSERT INTO bots (id, server_name, name) VALUES ('bot-1', 'server1', 'Bot')")
    return "bot-1"


def generation(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT generation FROM bots").fetchone()
    assert row is not None
    return int(row[0])


def test_downgrading_removes_everything_and_upgrading_creates_it_again(database_url: str) -> None:
    settings = Settings(database_url=database_url)
    engine = create_engine(settings.sqlalchemy_url)
    with engine.begin() as connection:
        before = connection.execute(text(WHAT_IS_THERE)).scalars().all()
        command.downgrade(config(connection), "base")
        assert connection.execute(text(WHAT_IS_THERE)).scalars().all() == [0, 0]
    assert migrate(settings).first_key is not None
    with engine.begin() as connection:
        assert connection.execute(text(WHAT_IS_THERE)).scalars().all() == before
    engine.dispose()


def test_a_bot_created_with_sql_has_a_status_and_a_token(connection: psycopg.Connection[Any], bot: str) -> None:
    row = connection.execute(
        "SELECT phase, server_name, length(runtime_token) FROM bot_status JOIN bots USING (server_name) WHERE id = %s",
        [bot],
    ).fetchone()
    assert row == ("pending", "server1", 64)


@pytest.mark.parametrize(
    "change",
    [
        "name = 'New'",
        "phone_number = '4917'",
        "kind = 'guest'",
        "approval_status = 'approved'",
        "desired_state = 'stopped'",
        'settings = \'{"prefix": "!"}\'',
        "limits = '{\"pids\": 32}'",
        "restart_generation = 1",
        "session_generation = 1",
        "deleting = true",
    ],
)
@pytest.mark.usefixtures("bot")
def test_a_change_of_the_desired_state_increases_the_generation(
    connection: psycopg.Connection[Any], change: str
) -> None:
    connection.execute(f"UPDATE bots SET {change}")  # type: ignore[call-overload, unused-ignore]
    assert generation(connection) == 2
    connection.execute(f"UPDATE bots SET {change}")  # type: ignore[call-overload, unused-ignore]
    assert generation(connection) == 2


@pytest.mark.usefixtures("bot")
def test_a_request_for_a_new_session_records_when(connection: psycopg.Connection[Any]) -> None:
    def since() -> datetime:
        row = connection.execute("SELECT session_since FROM bots").fetchone()
        assert row is not None
        moment: datetime = row[0]
        return moment

    created = since()
    connection.execute("UPDATE bots SET name = 'New', restart_generation = 1")
    assert since() == created
    connection.execute("UPDATE bots SET session_generation = session_generation + 1")
    assert since() > created
    connection.execute("UPDATE bots SET session_since = now() + interval '1 hour'")
    ahead = since()
    connection.execute("UPDATE bots SET session_generation = session_generation + 1")
    assert since() > ahead, "also when the clock was set back"


@pytest.mark.usefixtures("bot")
def test_a_writer_may_set_the_generation_itself(connection: psycopg.Connection[Any]) -> None:
    connection.execute("UPDATE bots SET generation = generation + 1, name = 'New'")
    assert generation(connection) == 2


@pytest.mark.usefixtures("bot")
def test_every_write_of_a_bot_notifies_and_no_write_of_its_status_does(connection: psycopg.Connection[Any]) -> None:
    connection.execute(f"LISTEN {CHANGES_CHANNEL}")  # type: ignore[call-overload, unused-ignore]
    connection.execute("UPDATE bot_status SET phase = 'online'")
    connection.execute("UPDATE bots SET name = 'New'")
    connection.execute("DELETE FROM bots")
    told = [item.payload for item in connection.notifies(timeout=10, stop_after=2)]
    assert told == ["server1/bot-1", "server1/bot-1"]
    assert list(connection.notifies(timeout=0)) == []


@pytest.mark.parametrize("bad", ["", "-a", "A", "a_b", "a/b", "a" * 49, "a\n", "ä"])
def test_an_id_that_is_invalid_in_names_is_rejected(connection: psycopg.Connection[Any], bad: str) -> None:
    with pytest.raises(CheckViolation):
        connection.execute("INSERT INTO bots (id, server_name, name) VALUES (%s, 'server1', 'Bot')", [bad])


@pytest.mark.parametrize("change", ["approval_status = 'maybe'", "desired_state = 'paused'"])
@pytest.mark.usefixtures("bot")
def test_unknown_states_are_rejected(connection: psycopg.Connection[Any], change: str) -> None:
    with pytest.raises(CheckViolation):
        connection.execute(f"UPDATE bots SET {change}")  # type: ignore[call-overload, unused-ignore]


def test_a_bot_needs_a_server(connection: psycopg.Connection[Any]) -> None:
    with pytest.raises(ForeignKeyViolation):
        connection.execute("INSERT INTO bots (id, server_name, name) VALUES ('bot-1', 'nowhere', 'Bot')")


@pytest.mark.usefixtures("bot")
def test_a_deleted_bot_takes_status_and_events_with_it(connection: psycopg.Connection[Any]) -> None:
    connection.execute(
        "INSERT INTO bot_events (server_name, bot_key, type, timestamp) SELECT server_name, key, 'error', now() "
        "FROM bots"
    )
    connection.execute("DELETE FROM bots")
    rows = connection.execute("SELECT 1 FROM bot_status UNION ALL SELECT 1 FROM bot_events").fetchall()
    assert rows == []
