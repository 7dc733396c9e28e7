"""Every content is received as that kind of message, with the right bytes."""

import os
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from tests.integration.bot_runtime.harness import Network, RuntimeProcess

MIB = 1 << 20


def picture(kind: str) -> bytes:
    file = BytesIO()
    Image.new("RGB", (512, 512)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "data", "shown"),
    [
        ({"type": "image", "mimetype": "image/png", "caption": "a square"}, picture("PNG"), {"text": "a square"}),
        ({"type": "image", "mimetype": "image/jpeg"}, picture("JPEG"), {"text": ""}),
        ({"type": "video", "mimetype": "video/mp4", "caption": "a clip"}, os.urandom(70_000), {"text": "a clip"}),
        ({"type": "audio", "mimetype": "audio/mpeg"}, os.urandom(5000), {"voice": False}),
        ({"type": "audio", "mimetype": "audio/ogg; codecs=opus", "voice": True}, os.urandom(5000), {"voice": True}),
        (
            {
                "type": "document",
                "mimetype": "application/pdf",
                "fileName": "Rechnung Nr. 5 – März.pdf",
                "caption": "x",
            },
            b"%PDF-1.7 " + os.urandom(5000),
            {"fileName": "Rechnung Nr. 5 – März.pdf", "text": "x"},
        ),
        ({"type": "sticker", "mimetype": "image/webp"}, picture("WEBP"), {"animated": False}),
    ],
    ids=lambda value: f"{value['type']}-{value['mimetype']}" if isinstance(value, dict) and "type" in value else "",
)
def test_a_file_is_received_with_its_kind(
    bot: RuntimeProcess, network: Network, contact: str, content: dict[str, Any], data: bytes, shown: dict[str, Any]
) -> None:
    assert bot.upload("file", data).status_code == 204
    sent = bot.send("file", contact, content)
    (item,) = network.arrived(contact)
    assert (item["id"], item["kind"]) == (sent["messageId"], content["type"])
    assert (item["media"]["mimetype"], item["media"]["size"], item["media"]["error"]) == (
        content["mimetype"],
        len(data),
        None,
    )
    assert {**item["media"], "text": item["text"]}.items() >= shown.items()
    assert network.file(contact, item["id"]) == data


@pytest.mark.parametrize("size", [1, 15, 16, 17, MIB, 16 * MIB])
def test_files_of_all_sizes_are_received_byte_for_byte(
    bot: RuntimeProcess, network: Network, contact: str, size: int
) -> None:
    data = os.urandom(size)
    assert bot.upload("file", data).status_code == 204
    bot.send("file", contact, {"type": "document", "mimetype": "application/octet-stream", "fileName": "a.bin"})
    (item,) = network.arrived(contact)
    assert network.file(contact, item["id"]) == data


def test_a_text_with_a_link_has_no_preview(bot: RuntimeProcess, network: Network, contact: str) -> None:
    text = "see https://example.org/ 🦆\nand more"
    bot.send("a", contact, text)
    (item,) = network.arrived(contact)
    assert (item["kind"], item["text"]) == ("text", text)


def test_the_longest_text_is_received_completely(bot: RuntimeProcess, network: Network, contact: str) -> None:
    bot.send("a", contact, "ä" * 65536)
    (item,) = network.arrived(contact)
    assert item["text"] == "ä" * 65536


def test_a_location(bot: RuntimeProcess, network: Network, contact: str) -> None:
    place = {"latitude": 52.5163, "longitude": 13.3777, "name": "Brandenburger Tor", "address": "Pariser Platz"}
    bot.send("a", contact, {"type": "location", **place})
    (item,) = network.arrived(contact)
    assert (item["kind"], item["location"]) == ("location", place)


def test_a_contact_card_that_phones_can_read(bot: RuntimeProcess, network: Network, contact: str) -> None:
    bot.send("a", contact, {"type": "contact", "name": "Lovelace; Ada, \\ \n X", "phoneNumber": "491700000042"})
    (item,) = network.arrived(contact)
    (card,) = item["contacts"]
    assert card["name"] == "Lovelace; Ada, \\ \n X"
    lines = card["vcard"].split("\n")
    assert (lines[0], lines[-1]) == ("BEGIN:VCARD", "END:VCARD")
    assert "FN:Lovelace\\; Ada\\, \\\\ \\n X" in lines
    assert "TEL;type=CELL;type=VOICE;waid=491700000042:+491700000042" in lines


def test_a_poll_can_be_voted_in(bot: RuntimeProcess, network: Network, contact: str) -> None:
    poll = {"question": "Lunch?", "options": ["Soup", "Salad", "Nothing"], "selectable": 2}
    sent = bot.send("a", contact, {"type": "poll", **poll})
    (item,) = network.arrived(contact)
    assert (item["kind"], item["poll"]) == ("poll", poll)
    network.post(f"/contacts/{contact}/votes", message=sent["messageId"], options=["Soup"])


def test_a_reaction_to_a_message_of_the_contact_and_its_removal(
    bot: RuntimeProcess, network: Network, contact: str
) -> None:
    phone = bot.health()["phoneNumber"]
    written = network.post(f"/contacts/{contact}/messages", to=phone, text="hello")["id"]
    bot.wait_for_event("message-upsert")
    bot.send("a", contact, {"type": "reaction", "messageId": written, "emoji": "👍"})
    bot.send("b", contact, {"type": "reaction", "messageId": written, "emoji": ""})
    items = network.arrived(contact, 2)
    assert [(item["kind"], item["text"], item["target"]) for item in items] == [
        ("reaction", "👍", written),
        ("reaction", "", written),
    ]


def test_a_reaction_to_the_bots_own_message(bot: RuntimeProcess, network: Network, contact: str) -> None:
    sent = bot.send("a", contact, "hello")["messageId"]
    bot.send("b", contact, {"type": "reaction", "messageId": sent, "emoji": "🦆", "sender": "me"})
    reaction = network.arrived(contact, 2)[1]
    assert (reaction["kind"], reaction["target"]) == ("reaction", sent)


@pytest.mark.parametrize("kind", ["text", "image", "location", "poll"])
def test_a_reply_quotes_a_message_of_the_contact(
    bot: RuntimeProcess, network: Network, contact: str, kind: str
) -> None:
    phone = bot.health()["phoneNumber"]
    written = network.post(f"/contacts/{contact}/messages", to=phone, text="when?")["id"]
    bot.wait_for_event("message-upsert")
    contents: dict[str, dict[str, Any]] = {
        "text": {"text": "now"},
        "image": {"mimetype": "image/png"},
        "location": {"latitude": 1.0, "longitude": 2.0},
        "poll": {"question": "when?", "options": ["now", "later"]},
    }
    content = contents[kind]
    bot.upload("a", picture("PNG"))
    bot.send("a", contact, {"type": kind, **content}, quote={"messageId": written})
    (item,) = network.arrived(contact)
    assert item["kind"] == kind
    assert item["quoted"] == {"id": written, "from": contact, "text": "when?"}


def test_a_reply_quotes_a_message_of_the_bot(bot: RuntimeProcess, network: Network, contact: str) -> None:
    sent = bot.send("a", contact, "first")["messageId"]
    bot.send("b", contact, "second", quote={"messageId": sent, "sender": "me", "text": "first"})
    item = network.arrived(contact, 2)[1]
    assert item["quoted"] == {"id": sent, "from": bot.health()["phoneNumber"], "text": "first"}


def test_invalid_contents_are_refused(bot: RuntimeProcess, contact: str) -> None:
    for content, code in (
        ({"type": "poll", "question": "?", "options": ["a", "a"]}, "bad-poll"),
        ({"type": "poll", "question": "?", "options": ["a"]}, "malformed"),
        ({"type": "location", "latitude": 91, "longitude": 0}, "malformed"),
        ({"type": "contact", "name": "", "phoneNumber": "491700000042"}, "malformed"),
        ({"type": "image", "mimetype": "image/png\r\nx: y"}, "malformed"),
        ({"type": "text", "text": "x" * 65537}, "malformed"),
    ):
        answer = bot.request("a", contact, content)
        assert (answer.status_code, answer.json()["code"]) == (400, code)
