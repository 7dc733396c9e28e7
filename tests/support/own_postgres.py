"""A separate Postgres server that a test may stop and kill; its address does not change."""

from collections.abc import Iterator
from contextlib import contextmanager

import docker
from docker.models.containers import Container

from tests.support.databases import POSTGRES_IMAGE
from tests.support.processes import free_port


@contextmanager
def own_postgres() -> Iterator[tuple[Container, str]]:
    """The server's container and URL; removed at the end of the block."""
    port = free_port()
    client = docker.from_env()
    container = client.containers.run(
        POSTGRES_IMAGE,
        environment={"POSTGRES_USER": "botdock", "POSTGRES_PASSWORD": "botdock", "POSTGRES_DB": "botdock"},
        ports={"5432/tcp": ("127.0.0.1", port)},
        detach=True,
    )
    try:
        yield container, f"postgresql://botdock:botdock@127.0.0.1:{port}/botdock"
    finally:
        container.remove(force=True, v=True)
        client.close()
