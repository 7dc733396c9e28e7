"""Databases for tests: one Postgres server for the whole run, a migrated template on it, and copies of the template.

Every worker of a run asks for the same server and template; the first one to ask creates them, under a lock in the
run's folder. The process that started the run removes them at its end (`remove_shared`).
"""

import fcntl
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import docker

POSTGRES_IMAGE = "botdock/postgres:dev"
DATA = "/var/lib/postgresql/data"
SERVER_URL_VARIABLE = "BOTDOCK_TEST_POSTGRES_URL"
"""Names a server to use instead of a container; its role must be allowed to create databases."""


@dataclass(frozen=True)
class Server:
    """A Postgres server; `container` is None for one that the tests did not start."""

    url: str
    """As `postgresql://user:password@host:port/postgres`."""
    container: str | None


@dataclass(frozen=True)
class Template:
    """A migrated database that others are copied from."""

    name: str
    admin_key: str
    """The first admin key, which is valid in every copy."""


def shared_server(folder: Path) -> Server:
    """The server of the run whose folder this is."""
    file = folder / "server.json"
    with _locked(folder):
        if not file.exists():
            given = os.environ.get(SERVER_URL_VARIABLE)
            server = Server(given, None) if given else _start_server()
            file.write_text(json.dumps(asdict(server)))
        return Server(**json.loads(file.read_text()))


def shared_template(folder: Path, server_url: str) -> Template:
    """The run's migrated database, with server `server1` (room for 20 bots) and the first admin key."""
    file = folder / "template.json"
    with _locked(folder):
        if not file.exists():
            file.write_text(json.dumps(asdict(_create_template(server_url))))
        return Template(**json.loads(file.read_text()))


def remove_shared(folder: Path) -> None:
    """Remove what `shared_server` and `shared_template` created in a run."""
    if not (folder / "server.json").exists():
        return
    server = Server(**json.loads((folder / "server.json").read_text()))
    if server.container is not None:
        client = docker.from_env()
        client.api.remove_container(server.container, force=True, v=True)
        client.close()
    elif (folder / "template.json").exists():
        template = Template(**json.loads((folder / "template.json").read_text()))
        execute(server.url, f'DROP DATABASE "{template.name}" WITH (FORCE)')


@contextmanager
def own_database(server_url: str, template: Template, name: str) -> Iterator[str]:
    """The URL of a copy of the template, which is dropped at the end of the block. A suffix makes the name unique."""
    unique = f"botdock_{name}_{uuid.uuid4().hex[:12]}"
    execute(server_url, f'CREATE DATABASE "{unique}" TEMPLATE "{template.name}"')
    try:
        yield at(server_url, unique)
    finally:
        execute(server_url, f'DROP DATABASE "{unique}" WITH (FORCE)')


def at(server_url: str, database: str) -> str:
    """The URL of another database on the same server."""
    return server_url.rsplit("/", 1)[0] + f"/{database}"


def execute(url: str, statement: str) -> None:
    """Run one statement outside of a transaction."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[call-overload, unused-ignore]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start_server() -> Server:
    # Ryuk, the watchdog of testcontainers, would have to come from a registry.
    os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"
    from testcontainers.community.postgres import PostgresContainer
    from testcontainers.core.config import testcontainers_config

    testcontainers_config.ryuk_disabled = True
    container = (
        PostgresContainer(POSTGRES_IMAGE, username="botdock", password="botdock", dbname="postgres", driver=None)
        .with_name(f"botdock-test-postgres-{uuid.uuid4().hex[:8]}")
        .with_command("postgres -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=500")
        .with_tmpfs_mount(DATA, "uid=999,gid=999,mode=0700")
    )
    container.start()
    server = Server(container.get_connection_url(), container.get_wrapped_container().id)
    # Without passwords: a test that ends amid the exchange of one would leave a server process that waits for a minute,
    # and with it every DROP DATABASE.
    done = container.exec(["sh", "-c", f"printf 'local all all trust\\nhost all all all trust\\n' >{DATA}/pg_hba.conf"])
    assert done.exit_code == 0, done.output
    execute(server.url, "SELECT pg_reload_conf()")
    container.get_docker_client().client.close()
    return server


def _create_template(server_url: str) -> Template:
    from orchestrator.db.migrate import migrate
    from orchestrator.settings import Settings

    name = f"botdock_template_{uuid.uuid4().hex[:12]}"
    execute(server_url, f'CREATE DATABASE "{name}"')
    migrated = migrate(Settings(database_url=at(server_url, name), server_name="server1", botcount=20))
    assert migrated.first_key is not None
    return Template(name, migrated.first_key)
