"""The fixtures' own proof, and that of the first migration: a fresh database is what the models say it is."""

import json

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlmodel import SQLModel

from orchestrator.db import message_models, models
from orchestrator.db.migrate import config, migrate
from orchestrator.settings import Settings


def test_the_migrations_create_the_tables_of_the_models(database_url: str) -> None:
    assert models.Bot.metadata is message_models.Message.metadata is SQLModel.metadata
    engine = create_engine(Settings(database_url=database_url).sqlalchemy_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
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
