"""The session pool API on real containers, in the shapes that its clients expect."""

import base64
from io import BytesIO

import pytest
from PIL import Image

from tests.support.eventually import eventually
from tests.support.fleet import Fleet

pytestmark = pytest.mark.docker

COMPANY, PHONE = "962302", "491700001201"
SESSIONS = "/api/whatsapp/sessions"


def test_the_life_of_a_session_from_the_first_qr_code_to_its_deletion(fleet: Fleet) -> None:
    # The api creates sessions on the server of the key; an admin's key has none, so the bot is created explicitly.
    fleet.call("POST", "/api/bots", {"id": COMPANY, "name": COMPANY, "serverName": fleet.server})
    created = fleet.call("POST", SESSIONS, {"companyId": COMPANY})
    assert created.keys() == {
        "success", "companyId", "status", "connectedAt", "phoneNumber", "lastError", "qrCode", "message",
    }  # fmt: skip
    assert (created["success"], created["companyId"], created["status"]) == (True, COMPANY, "qr")
    kind, _, encoded = created["qrCode"].partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(BytesIO(base64.b64decode(encoded))) as code:
        assert code.width == code.height >= 100

    unpaired = fleet.request("POST", f"{SESSIONS}/{COMPANY}/messages", json={"to": "491511110001", "message": "hi"})
    assert unpaired.status_code == 409
    assert unpaired.json().keys() == {"success", "error", "qrCode"}
    assert (unpaired.json()["success"], unpaired.json()["error"]) == (False, "Authentication required")

    fleet.pair(COMPANY, PHONE)
    session = fleet.call("GET", f"{SESSIONS}/{COMPANY}")
    assert (session["success"], session["status"], session["phoneNumber"]) == (True, "connected", f"+{PHONE}")
    assert session["connectedAt"] is not None
    again = fleet.call("POST", SESSIONS, {"companyId": COMPANY})
    assert (again["status"], again["qrCode"], again["message"]) == ("connected", None, "Session is connected")

    fleet.phones.post("/contacts", {"phone": "491511110001"})
    sent = fleet.call("POST", f"{SESSIONS}/{COMPANY}/messages", {"to": "491511110001", "message": "Hello from us!"})
    assert (sent["success"], sent["companyId"], sent["status"]) == (True, COMPANY, "sent")
    item = fleet.phones.arrived("491511110001", lambda item: item["id"] == sent["messageId"])
    assert (item["from"], item["text"]) == (PHONE, "Hello from us!")
    assert fleet.phones.ask("491511110001", PHONE, ".ping") == "pong"

    def counted() -> dict[str, int]:
        metrics: dict[str, int] = fleet.call("GET", "/api/whatsapp/metrics")["metrics"]
        return metrics

    metrics = eventually(counted, lambda seen: seen["messagesReceived"] == 1, what="the count of received messages")
    assert metrics == {
        "totalSessions": 1, "activeConnections": 1, "messagesSent": 1, "messagesReceived": 1, "errors": 0,
        "reconnections": 0,
    }  # fmt: skip
    listed = fleet.call("GET", SESSIONS)
    assert (listed["success"], listed["count"], listed["metrics"]) == (True, 1, metrics)
    assert listed["sessions"] == [{key: session[key] for key in session if key != "success"}]

    assert fleet.call("DELETE", f"{SESSIONS}/{COMPANY}")["success"] is True
    gone = fleet.request("GET", f"{SESSIONS}/{COMPANY}")
    assert gone.status_code == 404
    assert gone.json() == {"success": False, "error": f"Session not found for company {COMPANY}"}
    eventually(lambda: not fleet.containers() and not fleet.volume_exists(COMPANY), what="their removal")


def test_the_rate_limit_applies_per_company_and_number(fleet: Fleet) -> None:
    fleet.create("962303")
    fleet.pair("962303", "491700001202")
    path = f"{SESSIONS}/962303/messages"
    fleet.phones.post("/contacts", {"phone": "491511110002"})
    fleet.phones.post("/contacts", {"phone": "491511110003"})
    body = {"to": "491511110002", "message": "again"}
    answers = [fleet.request("POST", path, json=body) for _ in range(31)]
    assert [answer.status_code for answer in answers] == [200] * 30 + [429]
    refused = answers[-1].json()
    assert refused.keys() == {"success", "error", "retryAfter"}
    assert (refused["success"], refused["error"]) == (False, "Rate limit exceeded")
    assert 0 < refused["retryAfter"] <= 60_000
    assert fleet.call("POST", path, {**body, "to": "491511110003"})["success"] is True
    fleet.delete("962303")


@pytest.mark.parametrize("company", ["../../etc/passwd", "a" * 49, "Bot", ""])
def test_an_invalid_id_creates_no_session(fleet: Fleet, company: str) -> None:
    before = fleet.call("GET", SESSIONS)["count"]
    refused = fleet.request("POST", SESSIONS, json={"companyId": company})
    assert refused.status_code in {400, 422}
    assert refused.json()["success"] is False
    assert fleet.call("GET", SESSIONS)["count"] == before
