"""Bots as a session pool: responses and errors in the format that its clients know."""

import asyncio
import base64

import httpx
import pytest

from tests.integration.api.conftest import ADDRESS, Fleet
from tests.integration.api.fake_runtime import FakeRuntime
from tests.integration.api.live_bot import runtime_port  # noqa: F401
from tests.integration.reconcile.conftest import eventually

POOL = "/api/whatsapp/sessions"
HELLO = {"to": "79001234567", "message": "Hello from WhatsApp Business!"}


@pytest.fixture
async def company(operator: httpx.AsyncClient, fleet: Fleet, fake: FakeRuntime) -> str:
    """A connected session."""
    await operator.post("/api/bots", json={"id": "962302", "name": "Company"})
    await fleet.sql("UPDATE bots SET approval_status = 'approved'")
    fake.token = (await fleet.bot_row("962302"))["runtime_token"]
    await fleet.observe(
        "962302", phase="online", address=ADDRESS, paired_number="79686484488", connected_at="2025-09-10T10:00:00Z"
    )
    return "962302"


def refused(answer: httpx.Response, status: int, error: str) -> None:
    assert (answer.status_code, answer.json()["success"], answer.json()["error"]) == (status, False, error), answer.text
    assert answer.headers["content-type"] == "application/json"


async def test_the_list(operator: httpx.AsyncClient, company: str, fleet: Fleet) -> None:
    await fleet.observe(company, messages_sent=150, messages_received=200, errors=1, reconnections=2)
    body = (await operator.get(POOL)).json()
    totals = {
        "totalSessions": 1,
        "activeConnections": 1,
        "messagesSent": 150,
        "messagesReceived": 200,
        "errors": 1,
        "reconnections": 2,
    }
    shown = {
        "companyId": "962302",
        "status": "connected",
        "connectedAt": "2025-09-10T10:00:00Z",
        "phoneNumber": "+79686484488",
        "lastError": None,
    }
    assert body == {"success": True, "count": 1, "sessions": [shown], "metrics": totals}
    assert (await operator.get("/api/whatsapp/metrics")).json() == {"success": True, "metrics": totals}
    assert (await operator.get(f"{POOL}/{company}")).json() == {"success": True, **shown}


@pytest.mark.parametrize(
    ("phase", "status"),
    [
        ("online", "connected"),
        ("starting", "connecting"),
        ("pairing", "qr"),
        ("degraded", "reconnecting"),
        ("backing-off", "reconnecting"),
        ("logged-out", "logged_out"),
        ("stopped", "disconnected"),
        ("skipped", "disconnected"),
        ("from the future", "disconnected"),
    ],
)
async def test_status_by_phase(
    operator: httpx.AsyncClient, company: str, fleet: Fleet, phase: str, status: str
) -> None:
    await fleet.observe(company, phase=phase, message="what is said of it")
    shown = (await operator.get(f"{POOL}/{company}")).json()
    assert shown["status"] == status
    well = status in {"connected", "connecting", "qr"}
    assert shown["lastError"] == (None if well else "what is said of it")


class TestCreating:
    async def test_a_new_session_is_approved_and_the_response_has_its_code(
        self, operator: httpx.AsyncClient, fleet: Fleet, fake: FakeRuntime
    ) -> None:
        making = asyncio.create_task(operator.post(POOL, json={"companyId": "962303", "provider": "baileys"}))
        await eventually(lambda: fleet.sql("SELECT 1 FROM bots WHERE approval_status = 'approved'"))
        fake.token = (await fleet.bot_row("962303"))["runtime_token"]
        await fleet.observe("962303", phase="starting", address=ADDRESS)
        body = (await making).json()
        assert (body["success"], body["companyId"], body["status"]) == (True, "962303", "qr")
        kind, _, image = body["qrCode"].partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(image).startswith(b"\x89PNG")

    async def test_an_existing_session(
        self, operator: httpx.AsyncClient, company: str, fleet: Fleet, fake: FakeRuntime
    ) -> None:
        from bot_runtime.contract import ConnectionState

        fake.qr, fake.connection = None, ConnectionState.ONLINE
        await fleet.sql("UPDATE bots SET desired_state = 'stopped'")
        body = (await operator.post(POOL, json={"companyId": company})).json()
        assert (body["success"], body["status"], body["qrCode"]) == (True, "connected", None)
        assert (await fleet.bot_row(company))["desired_state"] == "running"

    async def test_concurrent_requests_create_one_session(
        self, operator: httpx.AsyncClient, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("orchestrator.api.pool.routes.QR_WAIT_SECONDS", 0)
        answers = await asyncio.gather(*(operator.post(POOL, json={"companyId": "962303"}) for _ in range(10)))
        assert {answer.status_code for answer in answers} == {200}
        assert await fleet.sql("SELECT count(*) FROM bots") == [(1,)]

    @pytest.mark.parametrize("odd", ["../../etc", "a/b", "", "A B", "x" * 49, "..", 962302, None, "a\x00"])
    async def test_malformed_ids(self, operator: httpx.AsyncClient, fleet: Fleet, odd: object) -> None:
        answer = await operator.post(POOL, json={"companyId": odd})
        assert (answer.status_code, answer.json()["success"]) == (422, False)
        assert await fleet.sql("SELECT 1 FROM bots") == []

    async def test_an_id_of_another_server(
        self, stranger: httpx.AsyncClient, company: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("orchestrator.api.pool.routes.QR_WAIT_SECONDS", 0)
        created = (await stranger.post(POOL, json={"companyId": company})).json()
        assert (created["success"], created["phoneNumber"]) == (True, None), "a session of its own"

    async def test_a_full_server(self, operator: httpx.AsyncClient, fleet: Fleet) -> None:
        await fleet.sql("UPDATE servers SET max_bots = 0")
        answer = await operator.post(POOL, json={"companyId": "962303"})
        assert (answer.status_code, answer.json()["success"]) == (409, False)


class TestSending:
    async def test_a_sent_message(self, operator: httpx.AsyncClient, company: str, fleet: Fleet) -> None:
        sending = asyncio.create_task(operator.post(f"{POOL}/{company}/messages", json=HELLO))
        sent = "UPDATE messages SET state = 'sent', whatsapp_id = 'W' RETURNING id"
        [(number,)] = await eventually(lambda: fleet.sql(sent))
        assert (await sending).json() == {
            "success": True,
            "companyId": company,
            "to": "79001234567@s.whatsapp.net",
            "status": "sent",
            "messageId": "W",
            "id": number,
        }

    async def test_whatsapp_rejects_the_message(self, operator: httpx.AsyncClient, company: str, fleet: Fleet) -> None:
        sending = asyncio.create_task(operator.post(f"{POOL}/{company}/messages", json=HELLO))
        failed = "UPDATE messages SET state = 'failed', reason = 'send-failed', detail = 'no such number' RETURNING id"
        await eventually(lambda: fleet.sql(failed))
        refused(await sending, 502, "Message was not sent: no such number")

    async def test_a_reconnecting_session(self, operator: httpx.AsyncClient, company: str, fleet: Fleet) -> None:
        await fleet.observe(company, phase="degraded")
        body = (await operator.post(f"{POOL}/{company}/messages", json=HELLO)).json()
        assert (body["success"], body["status"], body["messageId"]) == (True, "queued", None)

    async def test_a_starting_session_that_is_paired(
        self, operator: httpx.AsyncClient, company: str, fleet: Fleet
    ) -> None:
        await fleet.observe(company, phase="starting")
        body = (await operator.post(f"{POOL}/{company}/messages", json=HELLO)).json()
        assert (body["success"], body["status"]) == (True, "queued")

    async def test_rate_limit(self, operator: httpx.AsyncClient, company: str, fleet: Fleet) -> None:
        await fleet.observe(company, phase="degraded")
        await fleet.sql("UPDATE bots SET settings = '{\"rateLimitMax\": 1}'")
        await operator.post(f"{POOL}/{company}/messages", json=HELLO)
        answer = await operator.post(f"{POOL}/{company}/messages", json=HELLO)
        refused(answer, 429, "Rate limit exceeded")
        assert 0 < answer.json()["retryAfter"] <= 60_000

    @pytest.mark.parametrize("phase", ["pairing", "starting", "pending"])
    async def test_a_session_that_is_not_paired(
        self, operator: httpx.AsyncClient, company: str, fleet: Fleet, phase: str
    ) -> None:
        await fleet.observe(company, phase=phase, paired_number=None)
        answer = await operator.post(f"{POOL}/{company}/messages", json=HELLO)
        refused(answer, 409, "Authentication required")
        assert answer.json()["qrCode"].startswith("data:image/png;base64,")
        assert await fleet.sql("SELECT 1 FROM messages") == []

    @pytest.mark.parametrize(
        "body", [{}, {"to": "x", "message": "y"}, {"to": "79001234567"}, {"to": "79001234567", "message": ""}]
    )
    async def test_invalid_messages(self, operator: httpx.AsyncClient, company: str, body: dict[str, str]) -> None:
        answer = await operator.post(f"{POOL}/{company}/messages", json=body)
        assert (answer.status_code, answer.json()["success"]) == (422, False)


async def test_deleting(operator: httpx.AsyncClient, company: str, fleet: Fleet) -> None:
    assert (await operator.delete(f"{POOL}/{company}")).json()["success"] is True
    assert (await fleet.bot_row(company))["deleting"]
    assert (await operator.get(POOL)).json()["count"] == 0
    for answer in (
        await operator.get(f"{POOL}/{company}"),
        await operator.delete(f"{POOL}/{company}"),
        await operator.post(f"{POOL}/{company}/messages", json=HELLO),
    ):
        refused(answer, 404, "Session not found for company 962302")
    refused(await operator.post(POOL, json={"companyId": company}), 409, "bot '962302' is being deleted")


@pytest.mark.parametrize("odd", ["nobody", "..%2f..%2fetc", "%00", "A"])
async def test_unknown_sessions(operator: httpx.AsyncClient, odd: str) -> None:
    for answer in (
        await operator.get(f"{POOL}/{odd}"),
        await operator.delete(f"{POOL}/{odd}"),
        await operator.post(f"{POOL}/{odd}/messages", json=HELLO),
    ):
        assert (answer.status_code, answer.json()["success"]) == (404, False)


async def test_an_operator_of_another_server_has_no_access(stranger: httpx.AsyncClient, company: str) -> None:
    assert (await stranger.get(POOL)).json()["sessions"] == []
    refused(await stranger.get(f"{POOL}/{company}"), 404, "Session not found for company 962302")
