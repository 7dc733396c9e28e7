"""Received files are fetched on request. Uploads can be hostile or incomplete."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.bot_runtime.harness import Network, RuntimeProcess, Start, eventually, new_phone

MIB = 1 << 20
IMAGE = {"type": "image", "mimetype": "image/png"}


def files(bot: RuntimeProcess) -> list[str]:
    return sorted(path.name for path in (bot.directory / "files").iterdir())


def arrives(bot: RuntimeProcess, network: Network, contact: str, kind: str, data: bytes, **options: object) -> str:
    """Make a contact send a file, and wait until the bot has received it; returns the id of the message."""
    message_id = network.attach(contact, bot.health()["phoneNumber"], kind, data, **options)
    eventually(
        lambda: [event["data"]["messages"][0]["id"] for event in bot.events("message-upsert")],
        lambda ids: message_id in ids,
    )
    return message_id


@pytest.mark.parametrize("size", [1, 16, MIB, 16 * MIB])
def test_a_received_file_is_fetched_byte_for_byte(
    bot: RuntimeProcess, network: Network, contact: str, size: int
) -> None:
    data = os.urandom(size)
    message_id = arrives(bot, network, contact, "document", data, mimetype="application/pdf", fileName="März 5.pdf")
    answer = bot.client.get(f"/media/{message_id}")
    assert answer.status_code == 200, answer.text
    assert answer.content == data
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-length"] == str(size)
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''M%C3%A4rz%205.pdf"
    assert files(bot) == []


@pytest.mark.parametrize("kind", ["image", "video", "audio", "sticker"])
def test_every_kind_of_file_is_fetched(bot: RuntimeProcess, network: Network, contact: str, kind: str) -> None:
    data = os.urandom(10_000)
    message_id = arrives(bot, network, contact, kind, data)
    assert bot.client.get(f"/media/{message_id}").content == data


def test_a_file_can_be_fetched_after_a_crash(bot: RuntimeProcess, network: Network, contact: str, start: Start) -> None:
    data = os.urandom(10_000)
    message_id = arrives(bot, network, contact, "image", data)
    bot.kill()
    again = start()
    assert again.client.get(f"/media/{message_id}").status_code in (200, 409)
    again.wait_for("online")
    assert again.client.get(f"/media/{message_id}").content == data


def test_many_clients_fetch_at_the_same_time(bot: RuntimeProcess, network: Network, contact: str) -> None:
    data = {arrives(bot, network, contact, "document", os.urandom(3 * MIB)): None for _ in range(3)}
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda path: bot.client.get(path), [f"/media/{message}" for message in data] * 4))
    assert [answer.status_code for answer in answers] == [200] * 12
    assert len({answer.content for answer in answers}) == 3


def test_a_message_without_a_file_and_an_unknown_one_are_not_found(
    bot: RuntimeProcess, network: Network, contact: str
) -> None:
    written = network.post(f"/contacts/{contact}/messages", to=bot.health()["phoneNumber"], text="hello")["id"]
    bot.wait_for_event("message-upsert")
    for message_id in (written, "3EB0UNKNOWN", "..%2F..%2Fsession.db"):
        answer = bot.client.get(f"/media/{message_id}")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown-media")


def test_a_file_is_not_fetched_while_the_bot_is_not_online(start: Start, network: Network, contact: str) -> None:
    bot = start()
    phone = new_phone()
    bot.pair(network, phone)
    message_id = arrives(bot, network, contact, "image", b"picture")
    network.fail(phone, "refuse")
    bot.wait_for("reconnecting")
    answer = bot.client.get(f"/media/{message_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong-state")


def test_a_file_that_is_too_large_is_refused_with_and_without_its_size(bot: RuntimeProcess) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(17):
            yield bytes(MIB)

    for content in (bytes(16 * MIB + 1), chunks()):
        answer = bot.client.put("/uploads/a", content=content)
        assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
    assert files(bot) == []
    assert bot.upload("a", bytes(16 * MIB)).status_code == 204


@pytest.mark.parametrize("name", ["..%2Fsession.db", "%2e%2e", "a.part", "a%00b", "a%2Fb", "a" * 65])
def test_an_invalid_client_id_is_refused(bot: RuntimeProcess, name: str) -> None:
    answer = bot.client.put(f"/uploads/{name}", content=b"x")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert files(bot) == []


def test_an_upload_requires_the_token_and_a_body(bot: RuntimeProcess) -> None:
    refused = bot.client.put("/uploads/a", content=bytes(5 * MIB), headers={"Authorization": "Bearer wrong"})
    assert refused.status_code == 401
    assert bot.client.put("/uploads/a", content=b"").json()["code"] == "empty-file"
    assert files(bot) == []


def test_a_message_whose_file_is_missing_is_refused_and_can_be_sent_later(
    bot: RuntimeProcess, network: Network, contact: str
) -> None:
    answer = bot.request("a", contact, IMAGE)
    assert (answer.status_code, answer.json()["code"]) == (409, "upload-missing")
    bot.upload("a", b"picture")
    bot.send("a", contact, IMAGE)
    (item,) = network.arrived(contact)
    assert network.file(contact, item["id"]) == b"picture"
    assert files(bot) == []


def test_an_upload_survives_a_crash_and_an_incomplete_one_leaves_nothing(
    bot: RuntimeProcess, network: Network, contact: str, start: Start
) -> None:
    def torn() -> Iterator[bytes]:
        yield bytes(2 * MIB)
        bot.kill()
        yield bytes(2 * MIB)

    bot.upload("whole", b"picture")
    with pytest.raises(Exception):  # noqa: B017, PT011 - the connection fails in one of many ways
        bot.client.put("/uploads/torn", content=torn())
    again = start()
    again.wait_for("online")
    assert files(again) == ["whole"]
    again.send("whole", contact, IMAGE)
    assert network.file(contact, network.arrived(contact)[0]["id"]) == b"picture"
