"""Votes in polls that the bot sent or received."""

import json
from typing import Any

from tests.integration.bot_runtime.harness import Network, RuntimeProcess, Start, eventually, new_phone

QUESTION = {"question": "Lunch?", "options": ["Soup", "Salad 🥗", "Nothing"]}


def votes(bot: RuntimeProcess, count: int) -> list[dict[str, Any]]:
    """The choices of the first votes, once there are `count`."""

    def found() -> list[dict[str, Any]]:
        messages = [event["data"]["messages"][0] for event in bot.events("message-upsert")]
        return [message["poll"] for message in messages if message["kind"] == "poll-vote"]

    return eventually(found, lambda polls: len(polls) >= count)


def vote(network: Network, contact: str, poll: str, *options: str) -> None:
    network.post(f"/contacts/{contact}/votes", message=poll, options=options)


def test_a_contact_votes_changes_and_withdraws_in_a_poll_of_the_bot(
    bot: RuntimeProcess, network: Network, contact: str
) -> None:
    poll = bot.send("a", contact, {"type": "poll", **QUESTION, "selectable": 2})["messageId"]
    network.arrived(contact)
    for choice in (["Soup"], ["Nothing", "Soup"], []):
        vote(network, contact, poll, *choice)
    assert votes(bot, 3) == [
        {"messageId": poll, "options": ["Soup"]},
        {"messageId": poll, "options": ["Soup", "Nothing"]},
        {"messageId": poll, "options": []},
    ]


def test_members_vote_in_a_group_in_polls_of_the_bot_and_of_others(
    bot: RuntimeProcess, network: Network, contact: str
) -> None:
    other = new_phone()
    network.post("/contacts", phone=other, name="Bob")
    group = network.group(contact, bot.health()["phoneNumber"], other)
    bot.wait_for_group(group)
    ours = bot.send("a", group, {"type": "poll", **QUESTION})["messageId"]
    network.arrived(other)
    theirs = network.post(f"/contacts/{contact}/polls", to=group, **QUESTION)["id"]
    network.arrived(other, 2)
    vote(network, other, ours, "Salad 🥗")
    vote(network, other, theirs, "Nothing")
    assert votes(bot, 2) == [
        {"messageId": ours, "options": ["Salad 🥗"]},
        {"messageId": theirs, "options": ["Nothing"]},
    ]


def test_polls_survive_a_restart(start: Start, network: Network, contact: str) -> None:
    first = start()
    first.pair(network, new_phone())
    poll = first.send("a", contact, {"type": "poll", **QUESTION})["messageId"]
    network.arrived(contact)
    first.kill()
    second = start()
    second.wait_for("online")
    vote(network, contact, poll, "Soup")
    assert votes(second, 1) == [{"messageId": poll, "options": ["Soup"]}]


def test_a_vote_in_an_unknown_poll_has_no_choice(bot: RuntimeProcess, network: Network, contact: str) -> None:
    phone = bot.health()["phoneNumber"]
    other = new_phone()
    network.post("/contacts", phone=other, name="Bob")
    group = network.group(contact, other)
    poll = network.post(f"/contacts/{contact}/polls", to=group, **QUESTION)["id"]
    network.arrived(other)
    network.post(f"/groups/{group}/members", phones=[phone])
    bot.wait_for_group(group)
    vote(network, other, poll, "Soup")
    assert votes(bot, 1) == [{"messageId": poll, "options": None}]
    assert "Soup" not in json.dumps(bot.events())
