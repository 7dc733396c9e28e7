"""A simulator process for the whole run, and neonize bots that live as long as a test."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.simulator.harness import Bots, Talk, talk
from whatsapp_simulator.testing import SimulatorClient, SimulatorProcess, client_environment

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def clients_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the patched neonize and the certificate are."""
    return tmp_path_factory.mktemp("clients")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def simulator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatorProcess]:
    """A simulator on loopback, for all tests that do not stop it."""
    process = await SimulatorProcess.start(tmp_path_factory.mktemp("simulator"))
    yield process
    assert await process.stop() == 0
    assert "Traceback" not in process.log.read_text()


@pytest_asyncio.fixture(loop_scope="session")
async def client(simulator: SimulatorProcess) -> AsyncIterator[SimulatorClient]:
    """The phones."""
    async with SimulatorClient(simulator.url) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="session")
async def bots(
    simulator: SimulatorProcess, client: SimulatorClient, clients_folder: Path, tmp_path: Path
) -> AsyncIterator[Bots]:
    """Bots of the shared simulator."""
    started = Bots(tmp_path, client_environment(clients_folder, simulator.proxy_port), client, [])
    yield started
    await started.kill_all()


@pytest.fixture
def phone() -> Callable[[], str]:
    """Each call gives a phone number that nobody had yet."""
    return lambda: f"4915100{next(_numbers):06}"


@pytest_asyncio.fixture(loop_scope="session")
async def pair(bots: Bots, client: SimulatorClient, phone: Callable[[], str]) -> Talk:
    """A bot and a contact that wrote "hello" to it."""
    return await talk(bots, client, phone(), phone())
