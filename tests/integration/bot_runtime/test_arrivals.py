"""Arrivals become events, each with the documented data."""

from typing import Any

import pytest

from tests.integration.bot_runtime.harness import Network, RuntimeProcess, Start, eventually, new_phone


@pytest.fixture
def bot(start: Start, network: Network) -> RuntimeProcess:
    """A bot that is online; `bot.phone` is its number and `bot.contact` a contact of it."""
    runtime = start()
    runtime.phone, runtime.contact = new_phone(), new_phone()  # type: ignore[attr-defined]
    runtime.pair(network, runtime.phone)  # type: ignore[attr-defined]
    network.post("/contacts", phone=runtime.contact, name="Ada")  # type: ignore[attr-defined]
    return runtime


def message(bot: RuntimeProcess, message_id: str) -> dict[str, Any]:
    """The recorded message with this id."""

    def find() -> dict[str, Any] | None:
        recorded = (event["data"]["messages"][0] for event in bot.events("message-upsert"))
        return next((item for item in recorded if item["id"] == message_id), None)

    found = eventually(find, bool)
    assert found is not None
    return found


def do(bot: Any, network: Network, what: str, **body: object) -> str:
    """Make the contact do something; returns the id of its message."""
    return str(network.post(f"/contacts/{bot.contact}/{what}", **body)["id"])


def test_every_kind_of_message_is_recorded(bot: Any, network: Network) -> None:
    photo = network.attach(bot.contact, bot.phone, "image", b"jpeg", caption="the sea", mimetype="image/jpeg")
    document = network.attach(bot.contact, bot.phone, "document", b"%PDF", fileName="a.pdf", mimetype="application/pdf")
    place = do(bot, network, "locations", to=bot.phone, latitude=52.5, longitude=13.25, name="Berlin")
    vcard = "BEGIN:VCARD\nVERSION:3.0\nFN:Bob\nTEL;type=CELL;waid=491700009999:+49 170 0009999\nEND:VCARD"
    card = do(bot, network, "cards", to=bot.phone, cards=[{"name": "Bob", "vcard": vcard}])
    poll = do(bot, network, "polls", to=bot.phone, question="When?", options=["now", "later"])
    text = do(bot, network, "messages", to=bot.phone, text="hello")
    reaction = do(bot, network, "reactions", message=text, emoji="👍")
    edit = do(bot, network, "edits", message=text, text="hello!")
    revoke = do(bot, network, "revocations", message=text)
    answer = do(bot, network, "messages", to=bot.phone, text="that one", quote=photo)
    status = do(bot, network, "statuses", to=[bot.phone], text="on holiday")

    recorded = message(bot, photo)
    assert (recorded["kind"], recorded["text"]) == ("image", "the sea")
    assert recorded["media"] == {"mimetype": "image/jpeg", "size": 4, "caption": "the sea"}
    recorded = message(bot, document)
    assert (recorded["kind"], recorded["media"]["fileName"]) == ("document", "a.pdf")
    recorded = message(bot, place)
    assert (recorded["kind"], recorded["location"]) == (
        "location",
        {"latitude": 52.5, "longitude": 13.25, "name": "Berlin"},
    )
    recorded = message(bot, card)
    assert (recorded["kind"], recorded["contact"]) == ("contact", {"name": "Bob", "phoneNumber": "491700009999"})
    recorded = message(bot, poll)
    assert (recorded["kind"], recorded["poll"]) == ("poll", {"question": "When?", "options": ["now", "later"]})
    recorded = message(bot, reaction)
    assert (recorded["kind"], recorded["reaction"]) == ("reaction", {"messageId": text, "emoji": "👍"})
    recorded = message(bot, edit)
    assert (recorded["kind"], recorded["text"], recorded["edited"]) == ("edit", "hello!", text)
    recorded = message(bot, revoke)
    assert (recorded["kind"], recorded["revoked"]) == ("revoke", text)
    recorded = message(bot, answer)
    assert (recorded["quoted"]["messageId"], recorded["quoted"]["text"]) == (photo, "the sea")
    recorded = message(bot, status)
    assert (recorded["kind"], recorded["chat"], recorded["isGroup"]) == ("status", "status@broadcast", False)


def test_receipts_for_sent_messages_are_recorded(bot: Any, network: Network) -> None:
    sent = bot.send("one", bot.contact, "hello")["messageId"]
    network.arrived(bot.contact)
    network.receipt(bot.contact, sent, "read")

    def states() -> set[str]:
        return {event["data"]["state"] for event in bot.events("message-ack") if sent in event["data"]["messageIds"]}

    assert eventually(states, lambda found: "read" in found) == {"delivered", "read"}


def test_typing_and_calls_are_recorded(bot: Any, network: Network) -> None:
    network.act(bot.contact, "typing", to=bot.phone)
    typing = bot.wait_for_event("presence-update")["data"]
    assert typing["presence"] == "composing"

    call = do(bot, network, "calls", to=bot.phone)
    offered = bot.wait_for_event("call")["data"]
    assert (offered["id"], offered["status"]) == (call, "offer")


def test_a_group_is_reported_when_it_is_joined_changed_and_left(bot: Any, network: Network) -> None:
    group = network.group(bot.contact, bot.phone)
    joined = bot.wait_for_group(group)["group"]
    assert (joined["subject"], joined["id"]) == ("Friends", group)

    network.change_group(group, subject="Enemies")
    eventually(lambda: bot.group_reports(group)[-1]["group"]["subject"], lambda told: told == "Enemies")

    network.leave_group(group, bot.phone)
    eventually(lambda: bot.events("group-update")[-1]["data"], lambda told: told == {"left": group})
