"""The machines that the engine tests run on."""

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import docker
import pytest

from orchestrator.engine.base import Engine
from tests.integration.engine.proxy import engine_socket
from tests.integration.engine.worlds import MARK, DockerWorld, MemoryWorld, World


@pytest.fixture(scope="session")
def test_image() -> Iterator[str]:
    """The bot image with the same Python, user and directories, but running PROGRAM."""
    client = docker.APIClient(base_url=f"unix://{engine_socket()}", version="auto")
    base = os.environ.get("BOT_IMAGE", "botdock/bot:dev")
    name = f"engine-test-{uuid.uuid4().hex[:8]}"
    described = client.inspect_image(base)  # type: ignore[no-untyped-call]
    python = described["Config"]["Entrypoint"][0]
    container = client.create_container(
        base, entrypoint=[python, "-Sc", "import os; exec(os.environ['PROGRAM'])"], labels={MARK: name}
    )
    try:
        client.commit(container["Id"], repository=name, tag="latest")
    finally:
        client.remove_container(container["Id"])
    yield f"{name}:latest"
    client.remove_image(f"{name}:latest")
    client.close()


@pytest.fixture
async def docker_world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DockerWorld]:
    """The Docker engine of this machine."""
    world = await DockerWorld(request.getfixturevalue("test_image"), tmp_path).open()
    try:
        yield world
    finally:
        await world.close()


@pytest.fixture(params=["memory", pytest.param("docker", marks=pytest.mark.docker)])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """Each machine in turn: what is tested here holds for every engine."""
    kind = request.param
    world = MemoryWorld() if kind == "memory" else DockerWorld(request.getfixturevalue("test_image"), tmp_path)
    if isinstance(world, DockerWorld):
        await world.open()
    try:
        yield world
    finally:
        await world.close()


@pytest.fixture
async def engine(world: World) -> Engine:
    """An engine whose network exists."""
    engine = world.engine()
    await engine.ensure_network(f"{world.tag}-net")
    return engine
