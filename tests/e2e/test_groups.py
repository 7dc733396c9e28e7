"""Groups of a bot: stored and updated in Postgres, with messages in both directions."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.fleet import Fleet
from tests.support.live_bot import LiveBot

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def bot(fleet: Fleet) -> Iterator[LiveBot]:
    """One online bot, shared by the tests of the module."""
    bot = LiveBot(fleet, "groups", "491700001101")
    yield bot
    bot.delete()


def _group(bot: LiveBot, group: str) -> dict[str, Any] | None:
    answer = bot.fleet.request("GET", f"{bot.path}/groups/{group}")
    return answer.json() if answer.status_code == 200 else None


def _members(bot: LiveBot, group: str) -> dict[str, bool]:
    return {member["phoneNumber"]: member["admin"] for member in (_group(bot, group) or {"members": []})["members"]}


def test_a_group_is_listed_with_its_members_and_updated(bot: LiveBot) -> None:
    ada, ben, cleo = (bot.contact(name) for name in ("Ada", "Ben", "Cleo"))
    phones = bot.fleet.phones
    group = phones.group(ada, bot.phone, ben, subject="Choir")
    other = phones.group(ben, bot.phone, subject="Band")
    eventually(lambda: _group(bot, group) and _group(bot, other), what="both groups")
    listed = {item["id"]: item["subject"] for item in bot.fleet.call("GET", f"{bot.path}/groups")["items"]}
    assert listed == {group: "Choir", other: "Band"}
    assert _members(bot, group) == {ada: True, ben: False, bot.phone: False}

    phones.change("PATCH", f"/groups/{group}", {"subject": "Solo", "description": "of one"})
    phones.change("POST", f"/groups/{group}/members", {"phones": [cleo]})
    phones.change("PUT", f"/groups/{group}/members/{cleo}", {"admin": True})
    phones.change("DELETE", f"/groups/{group}/members/{ben}")
    changed = eventually(
        lambda: _members(bot, group), lambda members: members.get(cleo) and ben not in members, what="the members"
    )
    assert changed == {ada: True, cleo: True, bot.phone: False}
    info = eventually(lambda: _group(bot, group), lambda seen: seen is not None and seen["description"])
    assert info is not None
    assert (info["subject"], info["description"]) == ("Solo", "of one")

    phones.change("DELETE", f"/groups/{other}/members/{bot.phone}")
    eventually(lambda: _group(bot, other), lambda seen: seen is None, what="the group that was left to go")


def test_groups_are_available_while_the_bot_is_stopped(bot: LiveBot) -> None:
    ada = bot.contact()
    group = bot.fleet.phones.group(ada, bot.phone, subject="Chess")
    eventually(lambda: _group(bot, group), what="the group")
    bot.fleet.call("POST", f"{bot.path}/stop")
    bot.fleet.wait_phase(bot.id, "stopped")
    known = _group(bot, group)
    assert known is not None
    assert known["subject"] == "Chess"

    bot.fleet.phones.change("PATCH", f"/groups/{group}", {"subject": "Go"})
    bot.fleet.call("POST", f"{bot.path}/start")
    bot.fleet.wait_phase(bot.id, "online")
    eventually(lambda: (_group(bot, group) or {})["subject"], lambda subject: subject == "Go", what="the new subject")


def test_messages_and_commands_work_in_both_directions_in_a_group(bot: LiveBot) -> None:
    ada, ben = bot.contact(), bot.contact("Ben")
    phones = bot.fleet.phones
    group = phones.group(ada, bot.phone, ben)
    eventually(lambda: _group(bot, group), what="the group")
    sent = bot.send(group, message="rehearsal at eight")
    for member in (ada, ben):
        item = phones.arrived(member, lambda item: item["id"] == sent["messageId"])
        assert (item["text"], item["chat"], item["from"]) == ("rehearsal at eight", group, bot.phone)

    written = phones.say(ben, "messages", to=group, text=".ping")
    for member in (ada, ben):
        assert phones.arrived(member, lambda item: item["text"] == "pong")["chat"] == group
    (message,) = eventually(lambda: bot.recorded(written), what="the message in the bot's history")
    assert (message["chat"], message["isGroup"], message["senderNumber"]) == (group, True, ben)


def test_sending_to_a_group_without_the_bot_fails(bot: LiveBot) -> None:
    ada, ben = bot.contact(), bot.contact("Ben")
    strangers = bot.fleet.phones.group(ada, ben)
    assert bot.fleet.request("GET", f"{bot.path}/groups/{strangers}").status_code == 404
    failed = bot.send(strangers, message="hello?")
    assert (failed["state"], failed["reason"]) == ("failed", "send-failed")
    assert bot.fleet.phones.inbox(ada) == []
