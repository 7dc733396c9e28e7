"""Fixtures: a simulator process for the whole run, and neonize bots for each test."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.simulator.harness import Bots, ChatPair, create_pair
from whatsapp_simulator.testing import SimulatorClient, SimulatorProcess, client_environment

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def clients_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the patched neonize and the certificate."""
    return tmp_path_factory.mktemp("clients")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def simulator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatorProcess]:
    """A simulator on loopback for all tests that do not stop it."""
    process = await SimulatorProcess.start(tmp_path_factory.mktemp("simulator"))
    yield process
    assert await process.stop() == 0
    assert "Traceback" not in process.log.read_text()


@pytest_asyncio.fixture(loop_scope="session")
async def client(simulator: SimulatorProcess) -> AsyncIterator[SimulatorClient]:
    """A client for the control API of the shared simulator."""
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
    """Each call returns an unused phone number."""
    return lambda: f"4915100{next(_numbers):06}"


@pytest_asyncio.fixture(loop_scope="session")
async def pair(bots: Bots, client: SimulatorClient, phone: Callable[[], str]) -> ChatPair:
    """A bot and a contact that wrote "hello" to it."""
    return await create_pair(bots, client, phone(), phone())
