"""Real neonize clients observe each injected failure as intended."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.simulator.harness import Bots
from whatsapp_simulator.testing import SimulatorClient
from whatsapp_simulator.world.failures import FailureKind

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_drop(bots: Bots, client: SimulatorClient, phone: Callable[[], str]) -> None:
    number = phone()
    bot = await bots.start_linked(number)

    await client.inject_failure(number, FailureKind.DROP)

    await bot.wait_for("disconnected")
    await bot.wait_for("connected")
    assert (await client.account(number)).failure is None


@pytest.mark.parametrize("kind", [FailureKind.UNAVAILABLE, FailureKind.REFUSE])
async def test_connections_fail_until_the_failure_ends(
    bots: Bots, client: SimulatorClient, phone: Callable[[], str], kind: FailureKind
) -> None:
    number = phone()
    bot = await bots.start_linked(number)

    await client.inject_failure(number, kind, count=1)

    await bot.wait_for("disconnected")
    await bot.wait_for("disconnected")
    await bot.wait_for("connected")


async def test_replaced(bots: Bots, client: SimulatorClient, phone: Callable[[], str]) -> None:
    number = phone()
    bot = await bots.start_linked(number)

    await client.inject_failure(number, FailureKind.REPLACED)

    await bot.wait_for("stream-replaced")
    await client.wait_until_connected(number, connected=False)


async def test_logged_out_while_connected(bots: Bots, client: SimulatorClient, phone: Callable[[], str]) -> None:
    number = phone()
    bot = await bots.start_linked(number)

    await client.inject_failure(number, FailureKind.LOGGED_OUT)

    await bot.wait_for("logged-out", onConnect=False)
    assert (await client.account(number)).devices == []


async def test_logged_out_while_offline(bots: Bots, client: SimulatorClient, phone: Callable[[], str]) -> None:
    number = phone()
    bot = await bots.start_linked(number)
    await bot.kill()
    await client.inject_failure(number, FailureKind.LOGGED_OUT)

    again = await bots.start(number)

    await again.wait_for("logged-out", onConnect=True)


@pytest.mark.parametrize(
    ("kind", "event"), [(FailureKind.BANNED, "temporary-ban"), (FailureKind.OUTDATED, "client-outdated")]
)
async def test_the_login_is_refused(
    bots: Bots, client: SimulatorClient, phone: Callable[[], str], kind: FailureKind, event: str
) -> None:
    number = phone()
    bot = await bots.start_linked(number)

    await client.inject_failure(number, kind)

    await bot.wait_for(event)
    await bot.kill()
    await client.clear_failure(number)
    again = await bots.start(number)
    await again.wait_for("connected")


async def test_deaf(bots: Bots, client: SimulatorClient, phone: Callable[[], str]) -> None:
    number, contact = phone(), phone()
    bot = await bots.start_linked(number)
    await client.create_contact(contact)
    await client.inject_failure(number, FailureKind.DEAF)
    await client.send(contact, number, "do you hear me?")

    await bot.wait_for("keep-alive-timeout", timeout_seconds=60)

    assert (await client.account(number)).devices[0].connected
    assert not any(event["event"] == "message" for event in bot.events)
    await client.clear_failure(number)
    await bot.wait_for("message", text="do you hear me?")


async def test_slow(bots: Bots, client: SimulatorClient, phone: Callable[[], str]) -> None:
    number, contact = phone(), phone()
    bot = await bots.start_linked(number)
    await client.create_contact(contact)
    await client.inject_failure(number, FailureKind.SLOW, delay_seconds=0.3)

    sent = await bot.send(f"{contact}@s.whatsapp.net", "slowly")

    assert (await client.wait_for_message(contact, "slowly")).id == sent["id"]
    # The responses with the hidden address, the devices, the keys and the ack were delayed one after another.
    assert sent["time"] - sent["began"] > 4 * 0.3


async def test_a_global_failure_affects_unlinked_clients(
    bots: Bots, client: SimulatorClient, phone: Callable[[], str]
) -> None:
    await client.inject_failure(None, FailureKind.OUTDATED)
    try:
        bot = await bots.start(phone())
        await bot.wait_for("login-status", status="err-client-outdated")
    finally:
        await client.clear_failure(None)
