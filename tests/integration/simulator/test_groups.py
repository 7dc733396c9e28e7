"""Groups with real neonize clients and simulated contacts in them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.integration.simulator.harness import Bots, ChatPair
from whatsapp_simulator.testing import BotError, SimulatorClient, SimulatorError
from whatsapp_simulator.testing.bot import blob, jid

pytestmark = pytest.mark.asyncio(loop_scope="session")

BURST = 45


async def test_a_contact_creates_a_group_and_both_write(pair: ChatPair) -> None:
    group = await pair.client.create_group(pair.contact, "Choir", [pair.number], description="Tuesdays")
    joined = await pair.bot.wait_for("joined-group")
    assert joined["data"]["GroupInfo"]["GroupName"]["Name"] == "Choir"

    for text in ("first", "second"):
        sent = await pair.client.send(pair.contact, group.id, text)
        got = await pair.bot.wait_for("message", id=sent, text=text)
        assert (got["chat"], got["isGroup"], got["alt"]) == (group.id, True, pair.contact_jid)
        await pair.client.wait_for_receipt(pair.contact, sent)

    for text in ("third", "fourth"):
        answer = await pair.bot.send(group.id, text)
        item = await pair.client.wait_for_message(pair.contact, text)
        assert (item.id, item.sender, item.chat) == (answer["id"], pair.number, group.id)
        await pair.bot.wait_for("receipt", ids=[answer["id"]], kind="delivered", chat=group.id)


async def test_the_bot_creates_lists_and_queries_groups(pair: ChatPair, client: SimulatorClient) -> None:
    created = await pair.bot.call("create_group", "Created by a bot", [jid(pair.contact_jid)])
    group = await client.wait_for_group("Created by a bot")
    assert f"{created['JID']['User']}@g.us" == group.id
    assert [(member.phone, member.role) for member in group.members] == [
        (pair.number, "superadmin"),
        (pair.contact, "member"),
    ]

    other = await client.create_group(pair.contact, "Created by a contact", [pair.number], description="about it")
    names = {found["GroupName"]["Name"] for found in await pair.bot.call("get_joined_groups")}
    assert names == {"Created by a bot", "Created by a contact"}
    info = await pair.bot.call("get_group_info", jid(other.id))
    assert info["GroupTopic"]["Topic"] == "about it"
    assert len(info["Participants"]) == 2
    assert [member.get("IsSuperAdmin", False) for member in info["Participants"]] == [True, False]


async def test_members_join_and_leave(
    pair: ChatPair, client: SimulatorClient, phone: Callable[[], str], bots: Bots
) -> None:
    third, late = phone(), phone()
    await client.create_contact(third, "Cleo")
    second_bot = await bots.start_linked(late)
    group = await client.create_group(pair.contact, "Team", [pair.number])

    await client.add_members(group.id, [third, late])
    added = await pair.bot.wait_for("group-info")
    assert len(added["data"]["Join"]) == 2
    joined = await second_bot.wait_for("joined-group")
    assert len(joined["data"]["GroupInfo"]["Participants"]) == 4
    await pair.bot.send(group.id, "welcome")
    await client.wait_for_message(third, "welcome", chat=group.id)
    await second_bot.wait_for("message", text="welcome", chat=group.id)

    await client.set_admin(group.id, pair.number)
    promoted = await pair.bot.wait_for("group-info")
    assert len(promoted["data"]["Promote"]) == 1
    await pair.bot.call(
        "update_group_participants",
        jid(group.id),
        [jid(f"{third}@s.whatsapp.net")],
        {"enum": "ParticipantChange.REMOVE"},
    )
    assert third not in {member.phone for member in (await client.group(group.id)).members}
    left = await second_bot.wait_for("group-info")
    while "Leave" not in left["data"]:
        left = await second_bot.wait_for("group-info")

    sent = await client.send(pair.contact, group.id, "without Cleo")
    await pair.bot.wait_for("message", id=sent, text="without Cleo")
    await second_bot.send(group.id, "still here")
    await client.wait_for_message(pair.contact, "still here", chat=group.id)
    assert all(item.text == "welcome" for item in await client.inbox(third))


async def test_a_former_member_cannot_write(pair: ChatPair, client: SimulatorClient) -> None:
    group = await client.create_group(pair.contact, "Short", [pair.number])
    await pair.bot.wait_for("joined-group")
    await pair.bot.call("leave_group", jid(group.id))

    assert pair.number not in {member.phone for member in (await client.group(group.id)).members}
    assert "error" in await pair.bot.send(group.id, "anybody?")
    with pytest.raises(SimulatorError) as refused:
        await client.send(pair.number, group.id, "anybody?")
    assert (refused.value.status, refused.value.code) == (403, "not-a-member")


async def test_subject_description_and_permissions(pair: ChatPair, client: SimulatorClient) -> None:
    group = await client.create_group(pair.contact, "Old", [pair.number])
    await pair.bot.call("set_group_name", jid(group.id), "New")
    assert (await client.group(group.id)).subject == "New"

    await client.change_group(group.id, description="what it is for")
    await client.change_group(group.id, announce=True)
    seen: dict[str, object] = {}
    while not {"Name", "Topic", "Announce"} <= seen.keys():
        seen |= (await pair.bot.wait_for("group-info"))["data"]
    assert "error" in await pair.bot.send(group.id, "am I allowed?")
    with pytest.raises(BotError):
        await pair.bot.call("set_group_announce", jid(group.id), False)

    link = await pair.bot.call("get_group_invite_link", jid(group.id))
    assert link == (await client.group(group.id)).invite


async def test_joining_by_invite_link(pair: ChatPair, client: SimulatorClient) -> None:
    group = await client.create_group(pair.contact, "Open")

    await pair.bot.call("join_group_with_link", group.invite)

    assert pair.number in {member.phone for member in (await client.group(group.id)).members}
    await pair.bot.send(group.id, "I am in")
    await client.wait_for_message(pair.contact, "I am in", chat=group.id)


async def test_kinds_of_messages_in_a_group(pair: ChatPair, client: SimulatorClient) -> None:
    group = await client.create_group(pair.contact, "Kinds", [pair.number])
    sent = await pair.bot.send(group.id, "mine")
    await client.wait_for_message(pair.contact, "mine")

    await client.react(pair.contact, sent["id"], "🎉")
    reaction = await pair.bot.wait_for("message", type="reaction")
    assert reaction["content"]["reactionMessage"]["key"]["ID"] == sent["id"]
    await client.revoke(pair.contact, sent["id"])
    revoked = await pair.bot.wait_for("message", edit="8")
    assert revoked["content"]["protocolMessage"]["key"]["participant"].endswith("@lid")

    image = await client.send_media(pair.contact, group.id, b"pixels")
    await pair.bot.wait_for("message", id=image, type="media")
    assert (await pair.bot.call("download_any", {"content": image}))["size"] == len(b"pixels")
    await pair.bot.call("send_document", jid(group.id), blob(b"text"), filename="a.txt")
    item = await client.wait_for_message(pair.contact, kind="document", chat=group.id)
    assert await client.media(pair.contact, item.id) == b"text"

    poll = await client.send_poll(pair.contact, group.id, "Where?", ["here", "there"])
    await pair.bot.wait_for("message", id=poll)
    await pair.bot.call("build_poll_vote", {"info": poll}, ["there"])
    await pair.bot.call("send_message", jid(group.id), {"last": True})
    vote = await client.wait_for_message(pair.contact, kind="poll-vote")
    assert (vote.selected, vote.chat) == (["there"], group.id)


async def test_a_burst_in_a_group_is_delivered_completely(
    bots: Bots, client: SimulatorClient, phone: Callable[[], str]
) -> None:
    number, people = phone(), [phone() for _ in range(3)]
    await bots.start_linked(number, "echo")
    for person in people:
        await client.create_contact(person)
    group = await client.create_group(people[0], "Busy", [number, *people[1:]])

    texts = [f"message {index}" for index in range(BURST)]
    await asyncio.gather(*(client.send(people[index % 3], group.id, text) for index, text in enumerate(texts)))

    for person in people:
        expected = {f"pong {text}" for text in texts}
        after = 0
        async with asyncio.timeout(60):
            while expected:
                item = await client.wait_for_message(person, sender=number, after=after, timeout_seconds=60)
                after = item.index
                expected.remove(item.text)


async def test_messages_to_an_offline_bot_are_delivered_later(
    pair: ChatPair, client: SimulatorClient, bots: Bots
) -> None:
    group = await client.create_group(pair.contact, "Patient", [pair.number])
    await pair.bot.wait_for("joined-group")
    await pair.bot.kill()
    await client.wait_until_connected(pair.number, connected=False)
    sent = [await client.send(pair.contact, group.id, f"while offline {index}") for index in range(3)]
    await client.change_group(group.id, subject="Very patient")

    again = await bots.start(pair.number)

    for message_id in sent:
        await again.wait_for("message", id=message_id)
        await client.wait_for_receipt(pair.contact, message_id)


async def test_a_bot_with_an_old_session_can_read_the_group_again(
    pair: ChatPair, client: SimulatorClient, bots: Bots
) -> None:
    group = await client.create_group(pair.contact, "Old keys", [pair.number])
    await pair.bot.wait_for("joined-group")
    await pair.bot.kill()
    bots.back_up_session(pair.number)
    bot = await bots.start(pair.number)
    await client.send(pair.contact, group.id, "one")
    await bot.wait_for("message", text="one")
    await bot.send(group.id, "two")
    await client.wait_for_message(pair.contact, "two")
    await bot.kill()
    bots.restore_session(pair.number)

    again = await bots.start(pair.number)

    sent = await client.send(pair.contact, group.id, "three")
    await again.wait_for("message", id=sent, text="three")
    await again.send(group.id, "four")
    await client.wait_for_message(pair.contact, "four", timeout_seconds=20)
