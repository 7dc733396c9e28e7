"""Real neonize clients are linked to simulated phones, log in again, and are unlinked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.simulator.harness import Bots
from whatsapp_simulator.testing import SimulatorClient, SimulatorError

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_bot_is_linked_by_qr_code(bots: Bots, client: SimulatorClient, phone: Callable[[], str]) -> None:
    number = phone()
    bot = await bots.start(number)

    account = await client.scan(number, (await bot.wait_for("qr"))["qr"])

    assert [device.jid for device in account.devices] == [f"{number}:1@s.whatsapp.net"]
    await bot.wait_for("paired", phone=number)
    await bot.wait_for("connected")
    (device,) = (await client.account(number)).devices
    assert device.connected
    assert device.connected_since is not None


async def test_a_bot_is_linked_by_code(bots: Bots, client: SimulatorClient, phone: Callable[[], str]) -> None:
    number = phone()
    bot = await bots.start(number)
    await bot.wait_for("qr")
    bot.command(pairCode=number)
    code = (await bot.wait_for("code"))["code"]

    await client.enter_code(number, code.lower())

    await bot.wait_for("connected")
    assert [device.connected for device in (await client.account(number)).devices] == [True]


async def test_a_wrong_code_does_not_link(bots: Bots, client: SimulatorClient, phone: Callable[[], str]) -> None:
    number = phone()
    bot = await bots.start(number)
    await bot.wait_for("qr")
    bot.command(pairCode=number)
    code = (await bot.wait_for("code"))["code"]
    wrong = ("1" if code[0] != "1" else "2") + code[1:]

    with pytest.raises(SimulatorError) as refused:
        await client.enter_code(number, wrong)

    assert (refused.value.status, refused.value.code) == (422, "wrong-code")
    assert (await client.account(number)).devices == []


async def test_a_qr_code_expires_when_its_client_disconnects(
    bots: Bots, client: SimulatorClient, phone: Callable[[], str]
) -> None:
    number = phone()
    bot = await bots.start(number)
    qr = (await bot.wait_for("qr"))["qr"]
    waiting = (await client.health()).pairing
    await bot.kill()
    while (await client.health()).pairing == waiting:
        pass

    with pytest.raises(SimulatorError) as refused:
        await client.scan(number, qr)

    assert (refused.value.status, refused.value.code) == (410, "expired-code")


async def test_a_qr_code_links_only_once(bots: Bots, client: SimulatorClient, phone: Callable[[], str]) -> None:
    number = phone()
    bot = await bots.start(number)
    qr = (await bot.wait_for("qr"))["qr"]
    await client.scan(number, qr)

    with pytest.raises(SimulatorError) as refused:
        await client.scan(phone(), qr)

    assert refused.value.code == "expired-code"


@pytest.mark.slow
async def test_the_client_times_out_without_a_scan(bots: Bots, phone: Callable[[], str]) -> None:
    bot = await bots.start(phone())

    await bot.wait_for("login-status", status="timeout", timeout_seconds=240)

    assert len({event["qr"] for event in bot.seen("qr")}) == 6


async def test_a_killed_bot_logs_in_again_without_a_qr_code(
    bots: Bots, client: SimulatorClient, phone: Callable[[], str]
) -> None:
    number = phone()
    bot = await bots.start_linked(number)
    await bot.kill()
    await client.wait_until_connected(number, connected=False)

    again = await bots.start(number)

    await again.wait_for("connected")
    assert not any(event["event"] == "qr" for event in again.events)
    assert len((await client.account(number)).devices) == 1


async def test_a_bot_that_logs_out_is_no_longer_linked(
    bots: Bots, client: SimulatorClient, phone: Callable[[], str]
) -> None:
    number = phone()
    bot = await bots.start_linked(number)

    bot.command(logout=True)
    await bot.wait_for("done")

    assert (await client.account(number)).devices == []
    await bot.kill()
    again = await bots.start(number)
    await again.wait_for("qr")


async def test_a_second_client_with_the_same_session_takes_over(
    bots: Bots, client: SimulatorClient, phone: Callable[[], str]
) -> None:
    number = phone()
    first = await bots.start_linked(number)

    second = await bots.start(number)

    await second.wait_for("connected")
    await first.wait_for("stream-replaced")
    assert [device.connected for device in (await client.account(number)).devices] == [True]
