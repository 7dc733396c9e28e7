"""Many accounts at the same time, each with a real neonize client that is online and answers.

The default of 100 suits small machines; BOTDOCK_TEST_ACCOUNTS=500 takes two minutes.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from whatsapp_simulator.testing import SimulatorClient, SimulatorProcess, client_environment

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

ACCOUNTS = int(os.environ.get("BOTDOCK_TEST_ACCOUNTS", "100"))
PROCESSES = 10
SECONDS = 600.0
SCRIPT = Path(__file__).with_name("many_accounts_script.py")
PHONES = [f"4915200{number:06}" for number in range(ACCOUNTS)]
CONTACT = "491529999999"


@pytest_asyncio.fixture(loop_scope="session")
async def network(clients_folder: Path, tmp_path: Path) -> AsyncIterator[SimulatorProcess]:
    """A simulator with one client per account, spread over several processes."""
    simulator = await SimulatorProcess.start(tmp_path)
    environment = {**os.environ, **client_environment(clients_folder, simulator.proxy_port)}
    share = -(-ACCOUNTS // PROCESSES)
    with (tmp_path / "clients.log").open("wb") as log:
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable, str(SCRIPT), str(tmp_path), simulator.url, *PHONES[first : first + share],
                stdout=log, stderr=log, env=environment,
            )
            for first in range(0, ACCOUNTS, share)
        ]  # fmt: skip
    yield simulator
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.wait()
    assert await simulator.stop() == 0
    assert "Traceback" not in simulator.log.read_text()


async def test_all_accounts_are_online_and_answer(network: SimulatorProcess) -> None:
    async with SimulatorClient(network.url) as client, asyncio.timeout(SECONDS):
        while (await client.health()).connections < ACCOUNTS:  # noqa: ASYNC110 - other processes cannot set an event
            await asyncio.sleep(0.2)
        await client.create_contact(CONTACT, "Anna")
        for phone in PHONES:
            await client.send(CONTACT, phone, f"to {phone}")
        answers: dict[str, str] = {}
        after = 0
        while len(answers) < ACCOUNTS:
            for item in await client.inbox(CONTACT, after=after, wait=5):
                assert item.sender not in answers, "each answers once"
                answers[item.sender], after = item.text, item.index
        assert answers == {phone: f"pong to {phone}" for phone in PHONES}
        assert (await client.health()).accounts == ACCOUNTS
