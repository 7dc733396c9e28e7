"""Fixtures for every test that needs Postgres: one container a session, one fresh, migrated database a test.

The container runs our own image (`make images`), since no registry can be relied on. `BOTDOCK_TEST_POSTGRES_URL` names
a server to use in its place; its role must be allowed to create databases, which are dropped again.
"""

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

POSTGRES_IMAGE = "botdock/postgres:dev"
SERVER_URL_VARIABLE = "BOTDOCK_TEST_POSTGRES_URL"


@dataclass(frozen=True)
class Template:
    """A migrated database that others are copied from."""

    name: str
    admin_key: str
    """The first admin key, which every copy knows."""


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A Postgres server, as `postgresql://user:password@host:port/postgres`."""
    if given := os.environ.get(SERVER_URL_VARIABLE):
        yield given
        return
    # Ryuk, the watchdog of testcontainers, would have to come from a registry.
    os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"
    from testcontainers.community.postgres import PostgresContainer
    from testcontainers.core.config import testcontainers_config

    testcontainers_config.ryuk_disabled = True
    container = (
        PostgresContainer(POSTGRES_IMAGE, username="botdock", password="botdock", dbname="postgres", driver=None)
        .with_name(f"botdock-test-postgres-{uuid.uuid4().hex[:8]}")
        .with_command("postgres -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=300")
        .with_tmpfs_mount("/var/lib/postgresql/data", "uid=999,gid=999,mode=0700")
    )
    with container:
        yield container.get_connection_url()


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> Iterator[Template]:
    """A migrated database to copy, with server `server1` (room for 20 bots) and the first admin key."""
    from orchestrator.db.migrate import migrate
    from orchestrator.settings import Settings

    name = f"botdock_template_{uuid.uuid4().hex[:12]}"
    execute(postgres_url, f'CREATE DATABASE "{name}"')
    try:
        migrated = migrate(Settings(database_url=at(postgres_url, name), server_name="server1", botcount=20))
        assert migrated.first_key is not None
        yield Template(name, migrated.first_key)
    finally:
        execute(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def database_url(postgres_url: str, postgres_template: Template) -> Iterator[str]:
    """A database of this test's own, migrated and otherwise empty."""
    name = f"botdock_test_{uuid.uuid4().hex[:12]}"
    execute(postgres_url, f'CREATE DATABASE "{name}" TEMPLATE "{postgres_template.name}"')
    try:
        yield at(postgres_url, name)
    finally:
        execute(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def admin_key(postgres_template: Template) -> str:
    """The first admin key of every `database_url`."""
    return postgres_template.admin_key


def at(server_url: str, database: str) -> str:
    """The URL of another database on the same server."""
    return server_url.rsplit("/", 1)[0] + f"/{database}"


def execute(url: str, statement: str) -> None:
    """Run one statement outside of a transaction."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[call-overload, unused-ignore]
