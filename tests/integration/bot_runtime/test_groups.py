"""Groups: their members, and messages to and from them."""

from typing import Any

import pytest

from tests.integration.bot_runtime.harness import Network, RuntimeProcess, Start, eventually, new_phone


@pytest.fixture
def ada(network: Network) -> str:
    return network.person("Ada")


@pytest.fixture
def bob(network: Network) -> str:
    return network.person("Bob")


def last_message(bot: RuntimeProcess) -> dict[str, Any]:
    message: dict[str, Any] = bot.wait_for_event("message-upsert")["data"]["messages"][0]
    return message


def reports(bot: RuntimeProcess) -> list[dict[str, Any]]:
    return [event["data"] for event in bot.events("group-update")]


def listed(bot: RuntimeProcess) -> bool:
    """Whether the bot has reported all groups of its first connection."""
    return any("groups" in report for report in reports(bot))


def test_all_groups_are_reported_with_their_members(start: Start, network: Network, ada: str, bob: str) -> None:
    phone = new_phone()
    network.post("/accounts", phone=phone)
    first = network.group(ada, phone, bob, subject="Friends", description="of ducks")
    second = network.group(bob, phone, subject="Work")
    network.group(ada, bob, subject="Others")
    bot = start()
    bot.pair(network, phone)
    eventually(lambda: listed(bot), bool)
    *groups, everything = reports(bot)
    assert everything == {"groups": sorted([first, second])}
    by_id = {report["group"]["id"]: report for report in groups}
    assert set(by_id) == {first, second}
    friends = by_id[first]["group"]
    assert (friends["subject"], friends["description"]) == ("Friends", "of ducks")
    members = {member["phoneNumber"]: member["admin"] for member in by_id[first]["members"]}
    assert members == {ada: True, bob: False, phone: False}
    assert friends["owner"] in {member["id"] for member in by_id[first]["members"] if member["phoneNumber"] == ada}


def test_a_second_connection_and_a_second_process_report_only_what_has_changed(
    start: Start, network: Network, ada: str, bob: str
) -> None:
    phone = new_phone()
    network.post("/accounts", phone=phone)
    large = network.group(ada, phone, bob, subject="Large", crowd=250)
    small = network.group(bob, phone, subject="Small")
    bot = start()
    bot.pair(network, phone)
    eventually(lambda: listed(bot), bool)
    assert [len(report.get("members", [])) for report in reports(bot) if "group" in report].count(100) == 2
    before = reports(bot)
    info = bot.group_reports(large)[0]["group"]

    reset = bot.client.post("/connection/reset")
    assert reset.status_code == 200
    eventually(lambda: len(bot.events("connected")), lambda number: number == 2)
    bot.stop()
    network.leave_group(small, phone)
    again = start()
    again.wait_for("online")
    eventually(lambda: reports(again)[len(before) :], lambda found: found == [{"left": small}])
    network.change_group(large, subject="Larger")
    news = [{"left": small}, {"group": {**info, "subject": "Larger"}}]
    eventually(lambda: reports(again)[len(before) :], lambda found: found == news)

    network.leave_group(large, bob)
    eventually(lambda: reports(again)[-1], lambda report: len(report.get("gone", [])) == 1)


def test_everything_is_reported_again_to_a_receiver_that_has_missed_events(
    bot: RuntimeProcess, network: Network, ada: str
) -> None:
    group = network.group(ada, bot.health()["phoneNumber"])
    bot.wait_for_group(group)
    eventually(lambda: listed(bot), bool)
    spool = bot.get("/events", limit=1)["spoolId"]
    last = bot.events()[-1]["seq"]
    bot.get("/events", spool=spool, after=last)
    bot.get("/events", spool=spool, after=last - 1)
    page = eventually(lambda: bot.get("/events", spool=spool, after=last)["items"], lambda items: len(items) > 1)
    again, everything = (event["data"] for event in page)
    assert again["group"]["id"] == group
    assert len(again["members"]) == 2
    assert everything == {"groups": [group]}


def test_one_group_can_be_queried(bot: RuntimeProcess, network: Network, ada: str, bob: str) -> None:
    group = network.group(ada, bot.health()["phoneNumber"])
    bot.wait_for_group(group)
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
    bot.wait_for_group(group)
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
    bot.wait_for_group(group)
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
    bot.wait_for_group(group)
    message_id = network.attach(ada, group, "image", b"picture")
    assert last_message(bot)["id"] == message_id
    assert bot.client.get(f"/media/{message_id}").content == b"picture"


def test_a_message_to_a_group_of_others_is_refused(bot: RuntimeProcess, network: Network, ada: str, bob: str) -> None:
    answer = bot.request("a", network.group(ada, bob), "hello")
    assert (answer.status_code, answer.json()["code"]) == (502, "send-failed")
    assert bot.get("/stats")["rateWindow"] == {}
