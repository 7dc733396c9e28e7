"""Presence, typing, receipts, profiles and calls between a real neonize client and simulated contacts."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.simulator.harness import Bots, ChatPair
from whatsapp_simulator.testing import BotError, SimulatorClient
from whatsapp_simulator.testing.bot import jid

pytestmark = pytest.mark.asyncio(loop_scope="session")

AVAILABLE = {"enum": "Presence.AVAILABLE"}
TEXT = {"enum": "ChatPresenceMedia.CHAT_PRESENCE_MEDIA_TEXT"}
AUDIO = {"enum": "ChatPresenceMedia.CHAT_PRESENCE_MEDIA_AUDIO"}
COMPOSING = {"enum": "ChatPresence.CHAT_PRESENCE_COMPOSING"}
PAUSED = {"enum": "ChatPresence.CHAT_PRESENCE_PAUSED"}


async def online(pair: ChatPair) -> None:
    """Set the bot online, which is possible once it has learned its name from its phone."""
    async with asyncio.timeout(20):
        while True:
            try:
                await pair.bot.call("send_presence", AVAILABLE)
                return
            except BotError as exc:
                if "PushName" not in str(exc):
                    raise


async def test_the_bot_goes_online_and_offline(pair: ChatPair) -> None:
    await online(pair)
    await pair.client.wait_for_presence(pair.number, "available")

    await pair.bot.call("send_presence", {"enum": "Presence.UNAVAILABLE"})

    profile = await pair.client.wait_for_presence(pair.number, "unavailable")
    assert profile.last_seen is not None


async def test_a_contact_goes_online_and_offline(pair: ChatPair) -> None:
    await pair.bot.call("subscribe_presence", jid(pair.hello["chat"]))
    assert (await pair.bot.wait_for("presence"))["data"].get("Unavailable") is True

    await pair.client.set_presence(pair.contact, "available")
    assert (await pair.bot.wait_for("presence"))["data"]["Unavailable"] is False
    await pair.client.set_presence(pair.contact, "unavailable")
    gone = (await pair.bot.wait_for("presence"))["data"]
    assert gone["Unavailable"] is True
    assert int(gone["LastSeen"]) > 0


async def test_the_bot_types(pair: ChatPair) -> None:
    chat = jid(pair.hello["chat"])
    for state, media in ((COMPOSING, TEXT), (COMPOSING, AUDIO), (PAUSED, TEXT)):
        await pair.bot.call("send_chat_presence", chat, state, media)

    last = await pair.client.wait_for_chat_state(pair.contact, "paused", sender=pair.number)

    states = [(item.state, item.chat) for item in await pair.client.chat_states(pair.contact)]
    assert states == [("composing", None), ("recording", None), ("paused", None)]
    assert last.sender == pair.number


async def test_a_contact_types(pair: ChatPair) -> None:
    group = await pair.client.create_group(pair.contact, "Typing", [pair.number])
    await pair.client.set_typing(pair.contact, pair.number, "composing")
    await pair.client.set_typing(pair.contact, pair.number, "recording")
    await pair.client.set_typing(pair.contact, group.id, "paused")

    data = [(await pair.bot.wait_for("chat-presence"))["data"] for _ in range(3)]

    assert [item.get("State", "COMPOSING") for item in data] == ["COMPOSING", "COMPOSING", "PAUSED"]
    assert data[1]["Media"] == "AUDIO"
    assert data[2]["MessageSource"]["Chat"]["Server"] == "g.us"


async def test_receipts_both_ways(pair: ChatPair) -> None:
    sent = await pair.bot.send(pair.contact_jid, "look")
    await pair.bot.wait_for("receipt", ids=[sent["id"]], kind="delivered")
    await pair.client.acknowledge(pair.contact, sent["id"])
    await pair.bot.wait_for("receipt", ids=[sent["id"]], kind="read")
    await pair.client.acknowledge(pair.contact, sent["id"], "played")
    await pair.bot.wait_for("receipt", ids=[sent["id"]], kind="played")

    chat, hello = jid(pair.hello["chat"]), pair.hello["id"]
    for kind in ("READ", "PLAYED"):
        receipt = {"enum": f"ReceiptType.{kind}"}
        await pair.bot.call("mark_read", hello, chat=chat, sender=jid(pair.hello["sender"]), receipt=receipt)
        await pair.client.wait_for_receipt(pair.contact, hello, kind.lower())


async def test_read_receipts_in_a_group(pair: ChatPair) -> None:
    group = await pair.client.create_group(pair.contact, "Readers", [pair.number])
    sent = await pair.client.send(pair.contact, group.id, "read this")
    got = await pair.bot.wait_for("message", id=sent)
    read = {"enum": "ReceiptType.READ"}
    await pair.bot.call("mark_read", sent, chat=jid(group.id), sender=jid(got["sender"]), receipt=read)
    assert (await pair.client.wait_for_receipt(pair.contact, sent, "read")).chat == group.id

    answer = await pair.bot.send(group.id, "and this")
    await pair.client.wait_for_message(pair.contact, "and this")
    await pair.client.acknowledge(pair.contact, answer["id"])
    await pair.bot.wait_for("receipt", ids=[answer["id"]], kind="read", chat=group.id)


async def test_names_and_settings(pair: ChatPair, client: SimulatorClient, bots: Bots) -> None:
    await online(pair)
    await pair.bot.call("set_profile_name", "Robot")
    await pair.bot.call("send_presence", AVAILABLE)
    await pair.client.wait_for_presence(pair.number, "available")
    assert (await client.profile(pair.number)).name == "Robot"

    await pair.bot.call("set_status_message", "at your service")
    await pair.bot.call("update_blocklist", jid(pair.contact_jid), {"enum": "BlocklistAction.BLOCK"})
    profile = await client.profile(pair.number)
    assert (profile.about, profile.blocked) == ("at your service", [pair.contact])
    assert len((await pair.bot.call("get_blocklist"))["JIDs"]) == 1

    none = {"enum": "PrivacySetting.NONE"}
    with pytest.raises(BotError):  # neonize treats the non-empty response as an error
        await pair.bot.call("set_privacy_setting", {"enum": "PrivacySettingType.READ_RECEIPTS"}, none)
    assert (await client.profile(pair.number)).privacy == {"readreceipts": "none"}
    await client.change_profile(pair.contact, about="busy")
    info = await pair.bot.call("get_user_info", jid(pair.contact_jid))
    assert info[0]["UserInfo"]["Status"] == "busy"
    assert [found["IsIn"] for found in await pair.bot.call("is_on_whatsapp", f"+{pair.contact}")] == [True]

    await pair.bot.kill()
    again = await bots.start(pair.number)
    await again.wait_for("connected")
    await again.call("send_presence", AVAILABLE)
    assert not again.seen("peer-message")


async def test_a_call_that_the_contact_ends(pair: ChatPair) -> None:
    call = await pair.client.start_call(pair.contact, pair.number, video=True)
    offered = (await pair.bot.wait_for("call-offer"))["data"]
    assert offered["basicCallMeta"]["callID"] == call.id

    ended = await pair.client.end_call(pair.contact, call.id)

    assert ended.state == "ended"
    assert (await pair.bot.wait_for("call-terminate"))["data"]["basicCallMeta"]["callID"] == call.id


async def test_a_call_that_the_bot_rejects(pair: ChatPair) -> None:
    call = await pair.client.start_call(pair.contact, pair.number)
    await pair.bot.wait_for("call-offer")

    await pair.bot.call("reject_call", jid(pair.hello["chat"]), call.id)

    await pair.client.wait_for_call(pair.contact, call.id, "rejected")
