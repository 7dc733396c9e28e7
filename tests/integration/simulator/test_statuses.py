"""Statuses: contacts post them, bots receive them and send receipts."""

from __future__ import annotations

import pytest

from tests.integration.simulator.harness import ChatPair
from whatsapp_simulator.testing.bot import blob, jid
from whatsapp_simulator.testing.client.messages import file

pytestmark = pytest.mark.asyncio(loop_scope="session")

STATUS = "status@broadcast"


async def test_the_bot_receives_a_status_and_sends_a_receipt(pair: ChatPair) -> None:
    posted = await pair.client.post_status(pair.contact, [pair.number], "on holiday")

    got = await pair.bot.wait_for("message", id=posted)
    assert (got["text"], got["chat"], got["alt"]) == ("on holiday", STATUS, pair.contact_jid)
    sender = jid(got["sender"])
    await pair.bot.call("mark_read", posted, chat=jid(STATUS), sender=sender, receipt={"enum": "ReceiptType.READ"})

    seen = await pair.client.wait_for_receipt(pair.contact, posted, "read")
    assert (seen.sender, seen.chat) == (pair.number, STATUS)


async def test_a_status_with_an_image(pair: ChatPair) -> None:
    posted = await pair.client.post_status(pair.contact, [pair.number], "the sea", media=file(b"blue", "image"))

    got = await pair.bot.wait_for("message", id=posted)

    assert got["content"]["imageMessage"]["caption"] == "the sea"
    assert (await pair.bot.call("download_any", {"content": posted}))["size"] == 4


async def test_only_its_recipients_receive_a_status(pair: ChatPair) -> None:
    await pair.client.post_status(pair.contact, [pair.contact], "not for bots")
    after = await pair.client.send(pair.contact, pair.number, "hello again")

    await pair.bot.wait_for("message", id=after)

    assert all(message["chat"] != STATUS for message in pair.bot.seen("message"))


async def test_a_status_is_revoked(pair: ChatPair) -> None:
    posted = await pair.client.post_status(pair.contact, [pair.number], "oops")
    await pair.bot.wait_for("message", id=posted)

    await pair.client.revoke(pair.contact, posted)

    got = await pair.bot.wait_for("message", edit="7")
    assert (got["chat"], got["content"]["protocolMessage"]["key"]["ID"]) == (STATUS, posted)


async def test_the_bot_replies_to_a_status_privately(pair: ChatPair) -> None:
    posted = await pair.client.post_status(pair.contact, [pair.number], "question?")
    await pair.bot.wait_for("message", id=posted)

    await pair.bot.call("reply_message", "answer", {"event": posted}, jid(pair.contact_jid))

    item = await pair.client.wait_for_message(pair.contact, "answer")
    assert item.quoted is not None
    assert (item.quoted.id, item.chat) == (posted, None)


async def test_the_bot_posts_a_status_for_its_contacts(pair: ChatPair) -> None:
    await pair.bot.call("contact.put_contact_name", jid(pair.contact_jid), "Anna A", "Anna")
    await pair.bot.call("send_document", jid(STATUS), blob(b"news"), filename="news.txt")

    item = await pair.client.wait_for_message(pair.contact, kind="document", chat=STATUS)

    assert item.sender == pair.number
