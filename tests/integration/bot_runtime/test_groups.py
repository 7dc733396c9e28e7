"""Groups: their members, and messages to and from them."""

from typing import Any

import pytest

from tests.integration.bot_runtime.harness import Network, RuntimeProcess, eventually


@pytest.fixture
def ada(network: Network) -> str:
    return network.person("Ada")


@pytest.fixture
def bob(network: Network) -> str:
    return network.person("Bob")


def last_message(bot: RuntimeProcess) -> dict[str, Any]:
    message: dict[str, Any] = bot.wait_for_event("message-upsert")["data"]["messages"][0]
    return message


def test_all_groups_are_listed_with_their_members(bot: RuntimeProcess, network: Network, ada: str, bob: str) -> None:
    assert bot.get("/groups") == []
    phone = bot.health()["phoneNumber"]
    first = network.group(ada, phone, bob, subject="Friends", description="of ducks")
    second = network.group(bob, phone, subject="Work")
    network.group(ada, bob, subject="Others")
    groups = eventually(lambda: bot.get("/groups"), lambda groups: len(groups) == 2)
    by_id = {group["id"]: group for group in groups}
    assert set(by_id) == {first, second}
    friends = by_id[first]
    assert (friends["subject"], friends["description"]) == ("Friends", "of ducks")
    members = {member["phoneNumber"]: member["admin"] for member in friends["members"]}
    assert members == {ada: True, bob: False, phone: False}
    assert friends["owner"] in {member["id"] for member in friends["members"] if member["phoneNumber"] == ada}


def test_one_group_can_be_queried(bot: RuntimeProcess, network: Network, ada: str, bob: str) -> None:
    group = network.group(ada, bot.health()["phoneNumber"])
    eventually(lambda: bot.get("/groups"), bool)
    assert bot.get(f"/groups/{group}")["subject"] == "Friends"
    for other, status, code in (
        (network.group(ada, bob), 404, "unknown-group"),
        ("120363000000000000@g.us", 404, "unknown-group"),
        (ada, 400, "bad-group"),
        ("..%2Fx", 400, "bad-group"),
    ):
        answer = bot.client.get(f"/groups/{other}")
        assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_messages_are_sent_and_received_in_groups(bot: RuntimeProcess, network: Network, ada: str, bob: str) -> None:
    group = network.group(ada, bot.health()["phoneNumber"], bob)
    bot.wait_for_event("group-update")
    written = network.post(f"/contacts/{ada}/messages", to=group, text="hello all")["id"]
    message = last_message(bot)
    assert (message["chat"], message["senderNumber"], message["text"], message["isGroup"]) == (
        group,
        ada,
        "hello all",
        True,
    )
    sent = bot.send("a", group, "hello back", quote={"messageId": written, "sender": message["sender"]})
    for member in (ada, bob):
        item = next(item for item in network.arrived(member, 1 if member == ada else 2) if item["text"] == "hello back")
        assert (item["id"], item["chat"]) == (sent["messageId"], group)
        assert item["quoted"] == {"id": written, "from": ada, "text": "hello all"}


def test_files_reactions_and_polls_can_be_sent_to_groups(
    bot: RuntimeProcess, network: Network, ada: str, bob: str
) -> None:
    group = network.group(ada, bot.health()["phoneNumber"], bob)
    bot.wait_for_event("group-update")
    written = network.post(f"/contacts/{ada}/messages", to=group, text="hello all")["id"]
    author = last_message(bot)["sender"]
    bot.upload("image", b"picture")
    image = bot.send("image", group, {"type": "image", "mimetype": "image/png"})
    bot.send("reaction", group, {"type": "reaction", "messageId": written, "emoji": "👍", "sender": author})
    bot.send("poll", group, {"type": "poll", "question": "?", "options": ["a", "b"]})
    items = {item["kind"]: item for item in network.arrived(ada, 3)}
    assert network.file(ada, image["messageId"]) == b"picture"
    assert (items["reaction"]["target"], items["reaction"]["text"]) == (written, "👍")
    assert items["poll"]["poll"]["options"] == ["a", "b"]


def test_a_file_from_a_group_is_fetched(bot: RuntimeProcess, network: Network, ada: str) -> None:
    group = network.group(ada, bot.health()["phoneNumber"])
    bot.wait_for_event("group-update")
    message_id = network.attach(ada, group, "image", b"picture")
    assert last_message(bot)["id"] == message_id
    assert bot.client.get(f"/media/{message_id}").content == b"picture"


def test_a_message_to_a_group_of_others_is_refused(bot: RuntimeProcess, network: Network, ada: str, bob: str) -> None:
    answer = bot.request("a", network.group(ada, bob), "hello")
    assert (answer.status_code, answer.json()["code"]) == (502, "send-failed")
    assert bot.get("/stats")["rateWindow"] == {}
