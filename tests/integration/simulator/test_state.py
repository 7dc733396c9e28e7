"""The state file preserves the network when the simulator is stopped or killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.simulator.harness import Bots, create_pair
from whatsapp_simulator.testing import SimulatorClient, SimulatorProcess, client_environment
from whatsapp_simulator.testing.bot import jid

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_bots_continue_after_a_restart(tmp_path: Path, clients_folder: Path, phone: Callable[[], str]) -> None:
    number, contact = phone(), phone()
    state = tmp_path / "state"
    simulator = await SimulatorProcess.start(tmp_path, state_file=state)
    environment = client_environment(clients_folder, simulator.proxy_port)
    async with SimulatorClient(simulator.url) as client:
        bots = Bots(tmp_path, environment, client, [])
        bot = await bots.start_linked(number, "echo")
        await client.create_contact(contact, "Carla")
        await client.send(contact, number, "one")
        await client.wait_for_message(contact, "pong one")
    assert await simulator.stop() == 0

    again = await SimulatorProcess.start(tmp_path, state_file=state, proxy_port=simulator.proxy_port)

    async with SimulatorClient(again.url) as client:
        await bot.wait_for("connected", timeout_seconds=30)
        assert [item.text for item in await client.inbox(contact)] == ["pong one"]
        await client.send(contact, number, "two")
        await client.wait_for_message(contact, "pong two")
    await bots.kill_all()
    await again.stop()


async def test_groups_channels_files_and_settings_survive_a_restart(
    tmp_path: Path, clients_folder: Path, phone: Callable[[], str]
) -> None:
    number, contact = phone(), phone()
    state = tmp_path / "state"
    simulator = await SimulatorProcess.start(tmp_path, state_file=state)
    environment = client_environment(clients_folder, simulator.proxy_port)
    async with SimulatorClient(simulator.url) as client:
        bots = Bots(tmp_path, environment, client, [])
        pair = await create_pair(bots, client, number, contact)
        group = await client.create_group(contact, "Choir", [number])
        channel = await client.create_channel("News", followers=[number])
        image = await client.send_media(contact, group.id, b"pixels")
        await pair.bot.wait_for("message", id=image, type="media")
        await pair.bot.send(group.id, "before")
        await client.wait_for_message(contact, "before")
        poll = await client.send_poll(contact, number, "Again?", ["yes", "no"])
        await pair.bot.wait_for("message", id=poll)
        await client.change_profile(contact, about="busy")
    assert await simulator.stop() == 0

    again = await SimulatorProcess.start(tmp_path, state_file=state, proxy_port=simulator.proxy_port)

    async with SimulatorClient(again.url) as client:
        await pair.bot.wait_for("connected", timeout_seconds=30)
        assert (await client.groups(), await client.channels()) == ([group], [channel])
        assert (await client.profile(contact)).about == "busy"
        assert (await pair.bot.call("download_any", {"content": image}))["size"] == len(b"pixels")
        await client.send(contact, group.id, "after")
        await pair.bot.wait_for("message", text="after", chat=group.id)
        await pair.bot.send(group.id, "after, too")
        await client.wait_for_message(contact, "after, too", chat=group.id)
        await pair.bot.call("build_poll_vote", {"info": poll}, ["yes"])
        await pair.bot.call("send_message", jid(pair.hello["chat"]), {"last": True})
        assert (await client.wait_for_message(contact, kind="poll-vote")).selected == ["yes"]
        await client.post_to_channel(channel.id, "news")
        await pair.bot.wait_for("message", text="news")
    await bots.kill_all()
    await again.stop()


async def test_an_invalid_state_file_is_rejected_with_one_line(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_text("not a database" * 100)

    with pytest.raises(RuntimeError, match="file is not a database") as refused:
        await SimulatorProcess.start(tmp_path, state_file=state)

    assert "Traceback" not in str(refused.value)
