"""Messages, commands, groups and files, from the REST API through real containers to the simulated network and back."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.fleet import Fleet

pytestmark = pytest.mark.docker

BOT, PHONE = "talker", "491700000601"
ANA, BEN = "491511110601", "491511110602"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def talker(fleet: Fleet) -> Iterator[str]:
    """One online bot for the module."""
    fleet.online(BOT, PHONE)
    yield BOT
    fleet.delete(BOT)


def _send(fleet: Fleet, to: str, **content: Any) -> dict[str, Any]:
    sent: dict[str, Any] = fleet.call("POST", f"/api/bots/{BOT}/messages?wait=30", {"to": to, **content})
    assert sent["state"] in {"sent", "delivered", "read"}, sent
    return sent


def _arrived(fleet: Fleet, contact: str, kind: str, until: str) -> dict[str, Any]:
    """The newest message of a kind in the contact's inbox, once its text is this."""

    def newest() -> dict[str, Any] | None:
        items = [item for item in fleet.phones.inbox(contact) if item["kind"] == kind and item["text"] == until]
        return items[-1] if items else None

    found = eventually(newest, what=f"a {kind} on {contact}")
    assert found is not None
    return found


def test_a_text_goes_out_once_and_is_delivered(fleet: Fleet, talker: str) -> None:
    fleet.phones.write(ANA, PHONE, "hello")
    body, headers = {"to": f"+{ANA}", "message": "good morning"}, {"Idempotency-Key": "morning"}
    answers = [fleet.request("POST", f"/api/bots/{talker}/messages", json=body, headers=headers) for _ in range(3)]
    assert len({answer.json()["id"] for answer in answers}) == 1
    path = f"/api/bots/{talker}/messages/{answers[0].json()['id']}"
    eventually(lambda: fleet.call("GET", path)["state"], lambda state: state == "delivered", what="the delivery")
    assert [item["text"] for item in fleet.phones.inbox(ANA)].count("good morning") == 1


def test_a_message_waits_for_a_bot_that_is_away(fleet: Fleet, talker: str) -> None:
    fleet.container(talker).kill("KILL")
    waiting = fleet.call("POST", f"/api/bots/{talker}/messages", {"to": ANA, "message": "after the crash"})
    assert waiting["state"] == "queued"
    _arrived(fleet, ANA, "text", "after the crash")
    fleet.wait_phase(talker, "online")


def test_a_picture_goes_out_and_one_comes_in(fleet: Fleet, talker: str) -> None:
    picture = {"type": "image", "mimetype": "image/png", "caption": "look", "data": base64.b64encode(PNG).decode()}
    _send(fleet, ANA, content=picture)
    media = _arrived(fleet, ANA, "image", "look")["media"]
    assert (media["mimetype"], media["size"], media["error"]) == ("image/png", len(PNG), None)

    came = fleet.phones.post(
        f"/contacts/{ANA}/media",
        {"to": PHONE, "kind": "image", "mimetype": "image/png", "data": base64.b64encode(PNG).decode()},
    )["id"]
    file = eventually(
        lambda: fleet.request("GET", f"/api/bots/{talker}/media/{came}"), lambda answer: answer.status_code == 200
    )
    assert (file.content, file.headers["content-type"]) == (PNG, "image/png")


def test_a_command_made_by_the_api_works_without_a_restart(fleet: Fleet, talker: str) -> None:
    started = fleet.started_at(talker)
    made = fleet.call("POST", "/api/commands", {"name": "hours", "botId": talker, "response": "nine to five, {name}"})

    def answer() -> str:
        try:
            return fleet.phones.ask(BEN, PHONE, ".hours", deadline=2)
        except TimeoutError:
            return ""

    assert eventually(answer, what="the new command").startswith("nine to five")
    fleet.call("DELETE", f"/api/commands/{made['id']}")
    assert fleet.started_at(talker) == started


def test_a_group_is_known_and_both_sides_write_in_it(fleet: Fleet, talker: str) -> None:
    group = fleet.phones.post("/groups", {"creator": ANA, "subject": "Choir", "members": [PHONE, BEN]})["id"]
    listed = eventually(
        lambda: [item for item in fleet.call("GET", f"/api/bots/{talker}/groups")["items"] if item["id"] == group],
        what="the group in Postgres",
    )
    assert listed[0]["subject"] == "Choir"
    assert {member["phoneNumber"] for member in listed[0]["members"]} >= {ANA, BEN}
    _send(fleet, group, message="rehearsal at eight")
    assert _arrived(fleet, BEN, "text", "rehearsal at eight")["chat"] == group
    fleet.phones.write(ANA, group, ".ping")
    assert _arrived(fleet, ANA, "text", "pong")["from"] == PHONE


def test_the_rate_limit_is_told_and_can_be_waited_for(fleet: Fleet, talker: str) -> None:
    fleet.phones.write("491511110603", PHONE, "hello")
    body = {"to": "491511110603", "message": "again"}
    answers = [fleet.request("POST", f"/api/bots/{talker}/messages", json=body) for _ in range(31)]
    assert [answer.status_code for answer in answers] == [202] * 30 + [429]
    assert 0 < answers[-1].json()["retryAfter"] <= 60_000
    assert fleet.call("POST", f"/api/bots/{talker}/messages", {**body, "queue": True})["state"] == "queued"


def test_the_session_pool_speaks_as_its_seed_does(fleet: Fleet, talker: str) -> None:
    sessions = fleet.call("GET", "/api/whatsapp/sessions")
    assert sessions["success"] is True
    assert {"companyId": talker, "status": "connected"}.items() <= sessions["sessions"][0].items()
    sent = fleet.call("POST", f"/api/whatsapp/sessions/{talker}/messages", {"to": BEN, "message": "from the pool"})
    assert sent["success"] is True
    _arrived(fleet, BEN, "text", "from the pool")
    unknown = fleet.request("GET", "/api/whatsapp/sessions/962302")
    assert unknown.json() == {"success": False, "error": "Session not found for company 962302"}
