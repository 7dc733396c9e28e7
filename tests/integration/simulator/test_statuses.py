"""Statuses: contacts put them up, a bot sees them, and the contact sees that."""

from __future__ import annotations

import pytest

from tests.integration.simulator.harness import Talk
from whatsapp_simulator.testing.bot import blob, jid
from whatsapp_simulator.testing.client.messages import file

pytestmark = pytest.mark.asyncio(loop_scope="session")

STATUS = "status@broadcast"


async def test_the_bot_sees_a_status_and_says_so(pair: Talk) -> None:
    posted = await pair.client.post_status(pair.contact, [pair.number], "on holiday")

    got = await pair.bot.wait_for("message", id=posted)
    assert (got["text"], got["chat"], got["alt"]) == ("on holiday", STATUS, pair.contact_jid)
    sender = jid(got["sender"])
    await pair.bot.call("mark_read", posted, chat=jid(STATUS), sender=sender, receipt={"enum": "ReceiptType.READ"})

    seen = await pair.client.wait_for_receipt(pair.contact, posted, "read")
    assert (seen.sender, seen.chat) == (pair.number, STATUS)


async def test_a_status_with_an_image(pair: Talk) -> None:
    posted = await pair.client.post_status(pair.contact, [pair.number], "the sea", media=file(b"blue", "image"))

    got = await pair.bot.wait_for("message", id=posted)

    assert got["content"]["imageMessage"]["caption"] == "the sea"
    assert (await pair.bot.call("download_any", {"content": posted}))["size"] == 4


async def test_only_those_it_is_for_see_a_status(pair: Talk) -> None:
    await pair.client.post_status(pair.contact, [pair.contact], "not for bots")
    after = await pair.client.send(pair.contact, pair.number, "hello again")

    await pair.bot.wait_for("message", id=after)

    assert all(message["chat"] != STATUS for message in pair.bot.seen("message"))


async def test_a_status_is_taken_down(pair: Talk) -> None:
    posted = await pair.client.post_status(pair.contact, [pair.number], "oops")
    await pair.bot.wait_for("message", id=posted)

    await pair.client.revoke(pair.contact, posted)

    got = await pair.bot.wait_for("message", edit="7")
    assert (got["chat"], got["content"]["protocolMessage"]["key"]["ID"]) == (STATUS, posted)


async def test_the_bot_answers_a_status_privately(pair: Talk) -> None:
    posted = await pair.client.post_status(pair.contact, [pair.number], "question?")
    await pair.bot.wait_for("message", id=posted)

    await pair.bot.call("reply_message", "answer", {"event": posted}, jid(pair.contact_jid))

    item = await pair.client.wait_for_message(pair.contact, "answer")
    assert item.quoted is not None
    assert (item.quoted.id, item.chat) == (posted, None)


async def test_the_bot_puts_up_a_status_for_its_contacts(pair: Talk) -> None:
    await pair.bot.call("contact.put_contact_name", jid(pair.contact_jid), "Anna A", "Anna")
    await pair.bot.call("send_document", jid(STATUS), blob(b"news"), filename="news.txt")

    item = await pair.client.wait_for_message(pair.contact, kind="document", chat=STATUS)

    assert item.sender == pair.number
