"""The state file keeps what a network knows, over an orderly end and a killed simulator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.simulator.harness import Bots
from whatsapp_simulator.testing import SimulatorClient, SimulatorProcess, client_environment

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_everything_goes_on_after_a_restart(
    tmp_path: Path, clients_folder: Path, phone: Callable[[], str]
) -> None:
    number, contact = phone(), phone()
    state = tmp_path / "state"
    simulator = await SimulatorProcess.start(tmp_path, state_file=state)
    environment = client_environment(clients_folder, simulator.proxy_port)
    async with SimulatorClient(simulator.url) as client:
        bots = Bots(tmp_path, environment, client, [])
        bot = await bots.paired(number, "echo")
        await client.create_contact(contact, "Carla")
        await client.send(contact, number, "one")
        await client.wait_for_message(contact, "pong one")
    assert await simulator.stop() == 0

    again = await SimulatorProcess.start(tmp_path, state_file=state, proxy_port=simulator.proxy_port)

    async with SimulatorClient(again.url) as client:
        await bot.wait_for("connected", deadline=30)
        assert [item.text for item in await client.inbox(contact)] == ["pong one"]
        await client.send(contact, number, "two")
        await client.wait_for_message(contact, "pong two")
    await bots.kill_all()
    await again.stop()


async def test_a_file_that_is_no_state_is_refused_with_one_line(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_text("this is no database" * 100)

    with pytest.raises(RuntimeError, match="file is not a database") as refused:
        await SimulatorProcess.start(tmp_path, state_file=state)

    assert "Traceback" not in str(refused.value)
