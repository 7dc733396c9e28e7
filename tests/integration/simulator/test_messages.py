"""Texts between real neonize clients and simulated contacts, both ways and without loss."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.integration.simulator.harness import Bots
from whatsapp_simulator.testing import SimulatorClient

pytestmark = pytest.mark.asyncio(loop_scope="session")

BURST = 50


async def test_a_contact_writes_and_the_bot_replies(
    bots: Bots, client: SimulatorClient, phone: Callable[[], str]
) -> None:
    number, contact = phone(), phone()
    bot = await bots.start_linked(number, "echo")
    anna = await client.create_contact(contact, "Anna")

    message_id = await client.send(contact, number, ".ping")

    got = await bot.wait_for("message", text=".ping", id=message_id)
    assert (got["sender"], got["alt"], got["name"]) == (anna.lid, f"{contact}@s.whatsapp.net", "Anna")
    await client.wait_for_message(contact, "pong .ping", sender=number)
    await client.wait_for_receipt(contact, message_id, "delivered")


async def test_a_redelivered_message_is_received_twice(
    bots: Bots, client: SimulatorClient, phone: Callable[[], str]
) -> None:
    number, contact = phone(), phone()
    bot = await bots.start_linked(number)
    await client.create_contact(contact)
    once = await client.send(contact, number, "once")
    assert await client.redeliver(contact, once) == once
    last = await client.send(contact, number, "last")

    await bot.wait_for("message", id=last)

    got = [event["id"] for event in bot.events if event["event"] == "message"]
    assert got == [once, once, last]


@pytest.mark.parametrize("address", ["phone", "lid"])
async def test_a_bot_writes_first(bots: Bots, client: SimulatorClient, phone: Callable[[], str], address: str) -> None:
    number, contact = phone(), phone()
    bot = await bots.start_linked(number)
    bert = await client.create_contact(contact)

    sent = await bot.send(f"{contact}@s.whatsapp.net" if address == "phone" else bert.lid, "hello")

    got = await client.wait_for_message(contact, "hello")
    assert (got.sender, got.id) == (number, sent["id"])
    await bot.wait_for("receipt", ids=[sent["id"]], kind="delivered")


async def test_a_contact_sends_read_receipts(bots: Bots, client: SimulatorClient, phone: Callable[[], str]) -> None:
    number, contact = phone(), phone()
    bot = await bots.start_linked(number)
    await client.create_contact(contact, read_receipts=True)

    sent = await bot.send(f"{contact}@s.whatsapp.net", "look")

    await bot.wait_for("receipt", ids=[sent["id"]], kind="delivered")
    await bot.wait_for("receipt", ids=[sent["id"]], kind="read")


async def test_sending_to_an_unknown_number_fails(bots: Bots, phone: Callable[[], str]) -> None:
    bot = await bots.start_linked(phone())

    assert "error" in await bot.send(f"{phone()}@s.whatsapp.net", "anybody?")


async def test_a_burst_both_ways_is_delivered_completely(
    bots: Bots, client: SimulatorClient, phone: Callable[[], str]
) -> None:
    number, contact = phone(), phone()
    await bots.start_linked(number, "echo")
    await client.create_contact(contact)

    await asyncio.gather(*(client.send(contact, number, f"message {index}") for index in range(BURST)))

    expected = {f"pong message {index}" for index in range(BURST)}
    after = 0
    async with asyncio.timeout(60):
        while expected:
            item = await client.wait_for_message(contact, after=after, timeout_seconds=30)
            after = item.index
            expected.remove(item.text)


async def test_messages_to_an_offline_bot_are_delivered_at_its_next_login(
    bots: Bots, client: SimulatorClient, phone: Callable[[], str]
) -> None:
    number, contact = phone(), phone()
    bot = await bots.start_linked(number)
    await client.create_contact(contact)
    await client.send(contact, number, "before")
    await bot.wait_for("message", text="before")
    await bot.kill()
    await client.wait_until_connected(number, connected=False)
    texts = [f"while offline {index}" for index in range(5)]
    ids = [await client.send(contact, number, text) for text in texts]

    again = await bots.start(number)

    await again.wait_for("offline-sync-preview")
    for text in texts:
        await again.wait_for("message", text=text)
    await again.wait_for("offline-sync-completed")
    for message_id in ids:
        await client.wait_for_receipt(contact, message_id)


async def test_two_accounts_exchange_messages(bots: Bots, client: SimulatorClient, phone: Callable[[], str]) -> None:
    first_number, second_number = phone(), phone()
    first, second = await asyncio.gather(bots.start_linked(first_number), bots.start_linked(second_number, "echo"))

    sent = await first.send(f"{second_number}@s.whatsapp.net", "hello bot")

    await second.wait_for("message", text="hello bot", id=sent["id"])
    await first.wait_for("message", text="pong hello bot")


async def test_an_account_writes_to_another_that_was_linked_again(bots: Bots, phone: Callable[[], str]) -> None:
    first_number, second_number = phone(), phone()
    first, second = await asyncio.gather(bots.start_linked(first_number), bots.start_linked(second_number))
    await first.send(f"{second_number}@s.whatsapp.net", "hello old")
    await second.wait_for("message", text="hello old")
    await second.kill()
    bots.delete_session(second_number)
    again = await bots.start_linked(second_number)

    await first.send(f"{second_number}@s.whatsapp.net", "hello new")

    await again.wait_for("message", text="hello new")


async def test_a_contact_writes_to_a_bot_that_was_linked_again(
    bots: Bots, client: SimulatorClient, phone: Callable[[], str]
) -> None:
    number, contact = phone(), phone()
    bot = await bots.start_linked(number, "echo")
    await client.create_contact(contact)
    await client.send(contact, number, "one")
    await client.wait_for_message(contact, "pong one")
    await bot.kill()
    bots.delete_session(number)

    await bots.start_linked(number, "echo")

    await client.send(contact, number, "two")
    await client.wait_for_message(contact, "pong two")


async def test_a_contact_writes_to_a_bot_with_an_old_session(
    bots: Bots, client: SimulatorClient, phone: Callable[[], str]
) -> None:
    number, contact = phone(), phone()
    bot = await bots.start_linked(number, "echo")
    await client.create_contact(contact)
    await bot.kill()
    bots.back_up_session(number)
    bot = await bots.start(number, "echo")
    for text in ("one", "two", "three"):
        await client.send(contact, number, text)
        await client.wait_for_message(contact, f"pong {text}")
    await bot.kill()
    bots.restore_session(number)

    await bots.start(number, "echo")

    await client.send(contact, number, "four")
    await client.wait_for_message(contact, "pong four", timeout_seconds=20)
