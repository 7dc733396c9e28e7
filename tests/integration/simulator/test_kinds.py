"""Every kind of message, both ways between a real neonize client and simulated contacts."""

from __future__ import annotations

import pytest

from tests.integration.simulator.harness import ChatPair
from whatsapp_simulator.testing import SimulatorError
from whatsapp_simulator.testing.bot import jid

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_contact_adds_and_removes_a_reaction(pair: ChatPair) -> None:
    sent = await pair.bot.send(pair.contact_jid, "nice?")
    await pair.client.wait_for_message(pair.contact, "nice?")

    await pair.client.react(pair.contact, sent["id"], "👍")
    await pair.client.react(pair.contact, sent["id"], "")

    got = await pair.bot.wait_for("message", type="reaction")
    assert got["content"]["reactionMessage"]["text"] == "👍"
    assert got["content"]["reactionMessage"]["key"]["ID"] == sent["id"]
    assert got["content"]["reactionMessage"]["key"]["fromMe"] is False
    taken_back = await pair.bot.wait_for("message", type="reaction")
    assert taken_back["content"]["reactionMessage"]["text"] == ""
    assert taken_back["edit"] == "7"


async def test_the_bot_reacts(pair: ChatPair) -> None:
    chat = pair.hello["chat"]
    await pair.bot.call("build_reaction", jid(chat), jid(pair.hello["sender"]), pair.hello["id"], "❤️")
    await pair.bot.call("send_message", jid(chat), {"last": True})

    got = await pair.client.wait_for_message(pair.contact, kind="reaction")

    assert (got.text, got.target, got.sender, got.chat) == ("❤️", pair.hello["id"], pair.number, None)


async def test_a_contact_edits_and_revokes(pair: ChatPair) -> None:
    first = await pair.client.send(pair.contact, pair.number, "teh text")
    await pair.bot.wait_for("message", text="teh text")

    await pair.client.edit(pair.contact, first, "the text")
    await pair.client.revoke(pair.contact, first)

    edited = await pair.bot.wait_for("message", isEdit=True)
    assert edited["edit"] == "1"
    assert edited["content"]["protocolMessage"]["key"]["ID"] == first
    assert edited["content"]["protocolMessage"]["editedMessage"]["conversation"] == "the text"
    revoked = await pair.bot.wait_for("message", edit="7")
    assert revoked["content"]["protocolMessage"]["key"]["ID"] == first
    assert revoked["content"]["protocolMessage"]["type"] == "REVOKE"


async def test_the_bot_edits_and_revokes(pair: ChatPair) -> None:
    sent = await pair.bot.send(pair.contact_jid, "one")
    await pair.bot.call("edit_message", jid(pair.contact_jid), sent["id"], {"e2e": {"conversation": "two"}})
    await pair.bot.call("revoke_message", jid(pair.contact_jid), jid(f"{pair.number}@s.whatsapp.net"), sent["id"])

    edited = await pair.client.wait_for_message(pair.contact, kind="edit")
    revoked = await pair.client.wait_for_message(pair.contact, kind="revoke")

    assert (edited.text, edited.target) == ("two", sent["id"])
    assert revoked.target == sent["id"]


async def test_a_contact_can_only_edit_its_own_messages(pair: ChatPair) -> None:
    sent = await pair.bot.send(pair.contact_jid, "mine")
    await pair.client.wait_for_message(pair.contact, "mine")

    for call in (pair.client.edit(pair.contact, sent["id"], "yours"), pair.client.revoke(pair.contact, sent["id"])):
        with pytest.raises(SimulatorError) as refused:
            await call
        assert (refused.value.status, refused.value.code) == (409, "not-yours")


async def test_replies_both_ways(pair: ChatPair) -> None:
    sent = await pair.bot.send(pair.contact_jid, "a question")
    await pair.client.wait_for_message(pair.contact, "a question")

    reply = await pair.client.send(pair.contact, pair.number, "an answer", quote=sent["id"])
    got = await pair.bot.wait_for("message", id=reply)
    context = got["content"]["extendedTextMessage"]["contextInfo"]
    assert (context["stanzaID"], context["quotedMessage"]["conversation"]) == (sent["id"], "a question")

    await pair.bot.call("reply_message", "thanks", {"event": reply})
    thanks = await pair.client.wait_for_message(pair.contact, "thanks")
    assert thanks.quoted is not None
    assert (thanks.quoted.id, thanks.quoted.sender, thanks.quoted.text) == (reply, pair.contact, "an answer")


async def test_mentions_are_received(pair: ChatPair) -> None:
    await pair.client.send(pair.contact, pair.number, "@you", mentions=[pair.number])

    got = await pair.bot.wait_for("message", text="@you")

    (mentioned,) = got["content"]["extendedTextMessage"]["contextInfo"]["mentionedJID"]
    assert mentioned.endswith("@lid")


async def test_locations_both_ways(pair: ChatPair) -> None:
    await pair.client.send_location(pair.contact, pair.number, 48.2082, 16.3738, name="Vienna", address="1010")
    got = await pair.bot.wait_for("message", type="media")
    location = got["content"]["locationMessage"]
    assert (location["degreesLatitude"], location["degreesLongitude"]) == (48.2082, 16.3738)
    assert (location["name"], location["address"]) == ("Vienna", "1010")

    there = {"locationMessage": {"degreesLatitude": -33.8568, "degreesLongitude": 151.2153, "name": "Opera"}}
    await pair.bot.call("send_message", jid(pair.contact_jid), {"e2e": there})
    item = await pair.client.wait_for_message(pair.contact, kind="location")
    assert item.location is not None
    assert (item.location.latitude, item.location.longitude) == (-33.8568, 151.2153)
    assert item.location.name == "Opera"


async def test_contact_cards_both_ways(pair: ChatPair) -> None:
    vcard = "BEGIN:VCARD\nVERSION:3.0\nFN:Bert\nEND:VCARD"
    await pair.client.send_card(pair.contact, pair.number, "Bert", vcard)
    got = await pair.bot.wait_for("message", type="media")
    assert got["content"]["contactMessage"] == {"displayName": "Bert", "vcard": vcard}

    await pair.bot.call("send_contact", jid(pair.contact_jid), "Cleo", "491701112223")
    item = await pair.client.wait_for_message(pair.contact, kind="contact")
    assert [card.name for card in item.contacts] == ["Cleo"]
    assert "491701112223" in item.contacts[0].vcard


async def test_the_bot_sends_a_poll_and_a_contact_votes(pair: ChatPair) -> None:
    await pair.bot.call("build_poll_vote_creation", "Tea?", ["yes", "no"], {"enum": "VoteType.SINGLE"})
    await pair.bot.call("send_message", jid(pair.contact_jid), {"last": True})
    poll = await pair.client.wait_for_message(pair.contact, kind="poll")
    assert poll.poll is not None
    assert (poll.text, poll.poll.options, poll.poll.selectable) == ("Tea?", ["yes", "no"], 1)

    vote = await pair.client.vote(pair.contact, poll.id, ["yes"])

    await pair.bot.wait_for("message", id=vote)
    opened = await pair.bot.call("decrypt_poll_vote", {"event": vote})
    assert len(opened["selectedOptions"]) == 1


async def test_a_contact_sends_a_poll_and_the_bot_votes(pair: ChatPair) -> None:
    sent = await pair.client.send_poll(pair.contact, pair.number, "When?", ["now", "later", "never"], selectable=2)
    got = await pair.bot.wait_for("message", id=sent)
    poll = got["content"]["pollCreationMessage"]
    assert (poll["name"], [option["optionName"] for option in poll["options"]]) == ("When?", ["now", "later", "never"])

    await pair.bot.call("build_poll_vote", {"info": sent}, ["now", "never"])
    await pair.bot.call("send_message", jid(pair.hello["chat"]), {"last": True})

    vote = await pair.client.wait_for_message(pair.contact, kind="poll-vote")
    assert (vote.target, vote.selected) == (sent, ["now", "never"])


async def test_the_phones_owner_writes_and_the_bot_sees_it(pair: ChatPair) -> None:
    sent = await pair.client.send(pair.number, pair.contact, "from my phone")

    got = await pair.bot.wait_for("message", id=sent)

    assert (got["fromMe"], got["text"]) == (True, "from my phone")
    assert got["chat"] == pair.hello["chat"]
    await pair.client.wait_for_message(pair.contact, "from my phone", sender=pair.number)
