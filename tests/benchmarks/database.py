"""A Postgres server for the benchmarks, with the settings of production: every commit reaches the disk."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.db.migrate import migrate
from orchestrator.settings import Settings
from tests.support.databases import POSTGRES_IMAGE, at, execute


@contextmanager
def postgres() -> Iterator[tuple[str, str]]:
    """A server that lives as long as the block: its address as `postgresql://user:password@host:port/postgres`, and
    the name of its container."""
    # Ryuk, the watchdog of testcontainers, would have to come from a registry.
    os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"
    from testcontainers.community.postgres import PostgresContainer
    from testcontainers.core.config import testcontainers_config

    testcontainers_config.ryuk_disabled = True
    name = f"botdock-bench-postgres-{uuid.uuid4().hex[:8]}"
    container = PostgresContainer(
        POSTGRES_IMAGE, username="botdock", password="botdock", dbname="postgres", driver=None
    ).with_name(name)
    with container:
        yield container.get_connection_url(), name


def migrated(server_url: str) -> tuple[str, str]:
    """A new, migrated database: its address, and its first admin key."""
    name = f"bench_{uuid.uuid4().hex[:8]}"
    execute(server_url, f'CREATE DATABASE "{name}"')
    url = at(server_url, name)
    key = migrate(Settings(database_url=url)).first_key
    assert key is not None, "migrating a new database creates its first key"
    return url, key
