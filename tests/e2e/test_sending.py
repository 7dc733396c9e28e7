"""Sending by REST: every type of content to a person and to a group, delivery states, idempotency, and downloads."""

import base64
import os
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from tests.support.eventually import eventually
from tests.support.fleet import Fleet
from tests.support.live_bot import LiveBot

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def bot(fleet: Fleet) -> Iterator[LiveBot]:
    """One online bot, shared by the tests of the module."""
    bot = LiveBot(fleet, "sending", "491700001001")
    yield bot
    bot.delete()


@pytest.fixture(scope="module")
def ada(bot: LiveBot) -> str:
    """A contact that receives messages."""
    return bot.contact()


@pytest.fixture(scope="module")
def group(bot: LiveBot, ada: str) -> str:
    """A group with the bot and the contact as members, known to the bot."""
    group = bot.fleet.phones.group(ada, bot.phone, subject="Friends")
    eventually(lambda: bot.fleet.call("GET", f"{bot.path}/groups")["items"], what="the group")
    return group


def _image(kind: str) -> bytes:
    file = BytesIO()
    Image.new("RGB", (64, 64), "teal").save(file, kind)
    return file.getvalue()


LOCATION = {"latitude": 52.5163, "longitude": 13.3777, "name": "Brandenburger Tor", "address": "Pariser Platz"}
POLL = {"question": "When?", "options": ["Monday", "Tuesday"], "selectable": 1}
PLAIN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "text": ({"text": "good morning 🦆"}, {"text": "good morning 🦆"}),
    "location": (LOCATION, {"location": LOCATION}),
    "poll": (POLL, {"poll": POLL}),
}
FILES: dict[str, tuple[dict[str, Any], bytes, dict[str, Any]]] = {
    "image": ({"mimetype": "image/png", "caption": "look"}, _image("PNG"), {"text": "look"}),
    "video": ({"mimetype": "video/mp4", "caption": "a video"}, os.urandom(70_000), {"text": "a video"}),
    "audio": ({"mimetype": "audio/ogg; codecs=opus", "voice": True}, os.urandom(5000), {"voice": True}),
    "document": (
        {"mimetype": "application/pdf", "fileName": "Rechnung März.pdf"},
        b"%PDF-1.7 " + os.urandom(5000),
        {"fileName": "Rechnung März.pdf"},
    ),
    "sticker": ({"mimetype": "image/webp"}, _image("WEBP"), {"animated": False}),
}
CHATS = ("person", "group")


def _arrived(bot: LiveBot, contact: str, sent: dict[str, Any]) -> dict[str, Any]:
    return bot.fleet.phones.arrived(contact, lambda item: item["id"] == sent["messageId"])


def _sent(bot: LiveBot, to: str, **message: Any) -> dict[str, Any]:
    sent = bot.send(to, **message)
    assert sent["state"] in {"sent", "delivered", "read"}, sent
    return sent


@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("kind", PLAIN)
def test_content_without_a_file_arrives_unchanged(bot: LiveBot, ada: str, group: str, kind: str, chat: str) -> None:
    content, shown = PLAIN[kind]
    sent = _sent(bot, group if chat == "group" else ada, content={"type": kind, **content})
    item = _arrived(bot, ada, sent)
    assert item["kind"] == kind
    assert item.items() >= shown.items()
    assert item["chat"] == (group if chat == "group" else None)


@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("kind", FILES)
def test_a_file_arrives_unchanged(bot: LiveBot, ada: str, group: str, kind: str, chat: str) -> None:
    content, data, shown = FILES[kind]
    encoded = base64.b64encode(data).decode()
    sent = _sent(bot, group if chat == "group" else ada, content={"type": kind, "data": encoded, **content})
    item = _arrived(bot, ada, sent)
    assert (item["kind"], item["media"]["mimetype"], item["media"]["error"]) == (kind, content["mimetype"], None)
    assert {**item["media"], "text": item["text"]}.items() >= shown.items()
    assert bot.fleet.phones.file(ada, item["id"]) == data


@pytest.mark.parametrize("chat", CHATS)
def test_phones_can_read_a_contact_card(bot: LiveBot, ada: str, group: str, chat: str) -> None:
    content = {"type": "contact", "name": "Support", "phoneNumber": "+49 170 7654321"}
    (card,) = _arrived(bot, ada, _sent(bot, group if chat == "group" else ada, content=content))["contacts"]
    assert card["name"] == "Support"
    assert "waid=491707654321:+491707654321" in card["vcard"]


@pytest.mark.parametrize("chat", CHATS)
def test_a_reaction_and_a_reply_refer_to_the_original_message(bot: LiveBot, ada: str, group: str, chat: str) -> None:
    to, sender = (group, {"sender": f"{ada}@s.whatsapp.net"}) if chat == "group" else (ada, {})
    written = bot.fleet.phones.say(ada, "messages", to=group if chat == "group" else bot.phone, text="when?")
    eventually(lambda: bot.recorded(written), what="the question")
    reaction = _sent(bot, to, content={"type": "reaction", "messageId": written, "emoji": "👍", **sender})
    reply = _sent(bot, to, message="now", quote={"messageId": written, **sender})
    item = _arrived(bot, ada, reaction)
    assert (item["kind"], item["text"], item["target"]) == ("reaction", "👍", written)
    assert _arrived(bot, ada, reply)["quoted"] == {"id": written, "from": ada, "text": "when?"}


def test_a_file_can_be_uploaded_as_a_multipart_field(bot: LiveBot, ada: str) -> None:
    message = f'{{"to": "{ada}", "content": {{"type": "document"}}}}'
    answer = bot.fleet.request(
        "POST",
        f"{bot.path}/messages?wait=30",
        data={"message": message},
        files={"file": ("notes.txt", b"hello", "text/plain")},
    )
    item = _arrived(bot, ada, answer.json())
    assert (item["media"]["fileName"], item["media"]["mimetype"]) == ("notes.txt", "text/plain")


@pytest.mark.parametrize("form", ["+49 ({0}) {1}", "0049{0}{1}", "49{0}{1}@c.us", "49{0}{1}@s.whatsapp.net"])
def test_every_usual_form_of_a_phone_number_is_accepted(bot: LiveBot, ada: str, form: str) -> None:
    sent = _sent(bot, form.format(ada[2:5], ada[5:]), message=f"to {form}")
    assert sent["to"] == f"{ada}@s.whatsapp.net"
    assert _arrived(bot, ada, sent)["text"] == f"to {form}"


def test_a_message_goes_from_queued_to_read(bot: LiveBot) -> None:
    ben = bot.contact("Ben")
    fresh = bot.fleet.request("POST", f"{bot.path}/messages", json={"to": ben, "message": "hello"})
    assert (fresh.status_code, fresh.json()["state"]) == (202, "queued")
    delivered = bot.message(fresh.json()["id"], "delivered")
    assert delivered["readAt"] is None
    bot.fleet.phones.act(ben, "receipts", message=delivered["messageId"], kind="read")
    read = bot.message(delivered["id"], "read")
    times = [read[name] for name in ("createdAt", "sentAt", "deliveredAt", "readAt")]
    assert times == sorted(times)
    assert read["timings"]["readMs"] >= read["timings"]["deliveredMs"] >= 0


def test_a_message_that_cannot_be_sent_fails_with_a_reason(bot: LiveBot) -> None:
    failed = bot.send("491511999998", message="anybody there?")
    assert (failed["state"], failed["reason"], failed["messageId"]) == ("failed", "send-failed", None)
    assert failed["detail"]
    assert failed["failedAt"] is not None


def test_an_idempotency_key_sends_once_and_is_bound_to_its_message(bot: LiveBot) -> None:
    ben, headers = bot.contact("Ben"), {"Idempotency-Key": "order 17"}
    body = {"to": ben, "message": "shipped"}
    answers = [bot.fleet.request("POST", f"{bot.path}/messages", json=body, headers=headers) for _ in range(3)]
    (message,) = {answer.json()["id"] for answer in answers}
    bot.message(message, "delivered")
    other = bot.fleet.request("POST", f"{bot.path}/messages", json={**body, "message": "lost"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert [item["text"] for item in bot.fleet.phones.inbox(ben)] == ["shipped"]


def test_messages_to_an_offline_bot_are_queued_in_order(bot: LiveBot) -> None:
    ben = bot.contact("Ben")
    bot.fleet.container(bot.id).kill("KILL")
    path, texts = f"{bot.path}/messages", [f"number {number}" for number in range(5)]
    states = [bot.fleet.call("POST", path, {"to": ben, "message": text})["state"] for text in texts]
    assert states == ["queued"] * 5
    bot.fleet.phones.arrived(ben, lambda item: item["text"] == texts[-1])
    assert [item["text"] for item in bot.fleet.phones.inbox(ben)] == texts
    bot.fleet.wait_phase(bot.id, "online")


def test_received_files_can_be_downloaded(bot: LiveBot, ada: str, group: str) -> None:
    data = os.urandom(2 << 20)
    for chat in (bot.phone, group):
        came = bot.fleet.phones.attach(ada, chat, "document", data, mimetype="application/pdf", fileName="März.pdf")
        eventually(lambda came=came: bot.recorded(came), what="the file's message")  # type: ignore[misc]
        file = bot.fleet.request("GET", f"{bot.path}/media/{came}")
        assert (file.status_code, file.headers["content-type"]) == (200, "application/pdf")
        assert file.content == data
    text = bot.write(ada, "no file")
    eventually(lambda: bot.recorded(text), what="the text")
    assert bot.fleet.request("GET", f"{bot.path}/media/{text}").status_code == 404


def test_requests_beyond_the_rate_limit_get_retry_after_and_can_be_queued(bot: LiveBot) -> None:
    bot.configure(rateLimitMax=3)
    ben = bot.contact("Ben")
    path, body = f"{bot.path}/messages", {"to": ben, "message": "again"}
    answers = [bot.fleet.request("POST", path, json=body) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    assert 0 < answers[-1].json()["retryAfter"] <= 60_000
    assert int(answers[-1].headers["retry-after"]) <= 60
    queued = bot.fleet.call("POST", path, {**body, "queue": True})
    assert (queued["state"], queued["reason"]) == ("queued", "rate-limited")
    assert bot.fleet.request("POST", path, json={**body, "to": bot.contact()}).status_code == 202, "another recipient"
    bot.fleet.call("DELETE", f"{path}/{queued['id']}")
    bot.configure(rateLimitMax=None)
