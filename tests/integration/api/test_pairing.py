"""Pairing through the API, with a bot's endpoint on loopback."""

import asyncio
import base64

import httpx
import pytest

from bot_runtime.contract import ConnectionState
from tests.integration.api.conftest import Client, Fleet, problem
from tests.integration.api.fake_runtime import QR, FakeRuntime
from tests.integration.api.live_bot import live_bot, runtime_port  # noqa: F401

# ruff: noqa: F811

PNG = b"\x89PNG\r\n\x1a\n"


class TestFormats:
    async def test_json(self, operator: httpx.AsyncClient, live_bot: str) -> None:
        answer = await operator.get(f"/api/bots/{live_bot}/qr")
        assert answer.status_code == 200
        body = answer.json()
        assert set(body) == {"code", "expiresAt", "qrCode"}
        assert body["code"] == QR.code
        assert body["expiresAt"] == "2026-01-02T03:04:05Z"
        kind, _, data = body["qrCode"].partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data).startswith(PNG)

    @pytest.mark.parametrize(
        ("accept", "kind"),
        [
            ("image/png", "image/png"),
            ("image/avif,image/webp,image/*,*/*;q=0.8", "image/png"),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "image/png"),
            ("application/json", "application/json"),
            ("*/*", "application/json"),
            ("text/plain", "text/plain; charset=utf-8"),
        ],
    )
    async def test_the_preferred_format_is_sent(
        self, operator: httpx.AsyncClient, live_bot: str, accept: str, kind: str
    ) -> None:
        answer = await operator.get(f"/api/bots/{live_bot}/qr", headers={"Accept": accept})
        assert answer.headers["content-type"] == kind
        assert answer.headers["vary"] == "Accept"
        assert answer.headers["cache-control"] == "no-store"

    async def test_the_format_takes_precedence_over_the_header(
        self, operator: httpx.AsyncClient, live_bot: str
    ) -> None:
        async def get(form: str) -> httpx.Response:
            return await operator.get(
                f"/api/bots/{live_bot}/qr", params={"format": form}, headers={"Accept": "application/xml"}
            )

        assert (await get("raw")).text == QR.code
        assert (await get("png")).content.startswith(PNG)
        assert (await get("json")).json()["code"] == QR.code
        assert "█" in (await get("terminal")).text
        problem(await get("svg"), 422, "invalid-input")

    async def test_no_acceptable_format(self, operator: httpx.AsyncClient, live_bot: str) -> None:
        answer = await operator.get(f"/api/bots/{live_bot}/qr", headers={"Accept": "application/xml"})
        problem(answer, 406, "not-acceptable")


class TestWaiting:
    async def test_until_there_is_a_code(self, operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime) -> None:
        fake.qr, fake.connection = None, ConnectionState.CONNECTING
        asking = asyncio.create_task(operator.get(f"/api/bots/{live_bot}/qr", params={"wait": 30}))
        done, _ = await asyncio.wait([asking], timeout=0.3)
        assert not done
        fake.qr, fake.connection = QR, ConnectionState.PAIRING
        assert (await asking).json()["code"] == QR.code

    async def test_until_the_container_runs(self, operator: httpx.AsyncClient, live_bot: str, fleet: Fleet) -> None:
        await fleet.observe(live_bot, phase="starting", address=None)
        asking = asyncio.create_task(operator.get(f"/api/bots/{live_bot}/qr", params={"wait": 30}))
        await fleet.observe(live_bot, phase="pairing", address="127.0.0.1")
        assert (await asking).status_code == 200

    async def test_until_a_requested_fresh_start_is_done(
        self, operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime, fleet: Fleet
    ) -> None:
        fake.qr, fake.connection = None, ConnectionState.LOGGED_OUT
        await operator.post(f"/api/bots/{live_bot}/restart", json={"fresh": True})
        problem(await operator.get(f"/api/bots/{live_bot}/qr"), 409, "not-pairing-yet")
        asking = asyncio.create_task(operator.get(f"/api/bots/{live_bot}/qr?wait=30"))
        await fleet.observe(live_bot, phase="stopping")
        problem(await operator.get(f"/api/bots/{live_bot}/qr"), 409, "not-pairing-yet")
        fake.qr, fake.connection = QR, ConnectionState.PAIRING
        assert (await asking).status_code == 200

    async def test_no_waiting_by_default(self, operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime) -> None:
        fake.qr, fake.connection = None, ConnectionState.CONNECTING
        answer = await operator.get(f"/api/bots/{live_bot}/qr")
        assert "wait=30" in problem(answer, 409, "not-pairing-yet")

    async def test_the_answer_says_why_there_is_no_code(
        self, operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime, fleet: Fleet
    ) -> None:
        fake.qr, fake.connection = None, ConnectionState.CONNECTING
        message = "cannot connect to WhatsApp: no such host; next attempt at 03:04:05 UTC; check DNS"
        await fleet.observe(live_bot, phase="starting", message=message)
        assert message in problem(await operator.get(f"/api/bots/{live_bot}/qr"), 409, "not-pairing-yet")

    @pytest.mark.parametrize("wait", ["31", "-1", "nan", "soon"])
    async def test_the_waiting_time_is_limited(self, operator: httpx.AsyncClient, live_bot: str, wait: str) -> None:
        problem(await operator.get(f"/api/bots/{live_bot}/qr", params={"wait": wait}), 422, "invalid-input")

    async def test_an_expired_code_is_replaced(
        self, operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime
    ) -> None:
        fake.qr, fake.connection = None, ConnectionState.PAIRING_EXPIRED

        def show_a_new_one(runtime: FakeRuntime) -> None:
            runtime.qr, runtime.connection = QR, ConnectionState.PAIRING

        fake.on_reset = show_a_new_one
        assert (await operator.get(f"/api/bots/{live_bot}/qr")).json()["code"] == QR.code
        assert fake.resets == 1

    async def test_a_key_that_is_revoked_while_it_waits_gets_no_code(
        self,
        admin: httpx.AsyncClient,
        client: Client,
        live_bot: str,
        fake: FakeRuntime,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("orchestrator.api.auth_middleware.RECHECK_SECONDS", 0)
        key = (await admin.post("/api/keys", json={"name": "x", "role": "operator", "serverName": "server1"})).json()
        asked = asyncio.Event()
        fake.qr, fake.connection, fake.on_reset = None, ConnectionState.PAIRING_EXPIRED, lambda _: asked.set()
        waiting = asyncio.create_task(client(key["key"]).get(f"/api/bots/{live_bot}/qr?wait=30"))
        async with asyncio.timeout(20):
            await asked.wait()
        assert (await admin.delete(f"/api/keys/{key['id']}")).status_code == 204
        fake.qr, fake.connection = QR, ConnectionState.PAIRING
        problem(await waiting, 401, "unauthorized")

    async def test_an_expired_code_that_is_not_replaced(
        self, operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime
    ) -> None:
        fake.qr, fake.connection = None, ConnectionState.PAIRING_EXPIRED
        fake.fails = (504, "whatsapp-timeout", "WhatsApp did not answer")
        problem(await operator.get(f"/api/bots/{live_bot}/qr"), 504, "whatsapp-timeout")


class TestNoCode:
    @pytest.mark.parametrize(
        ("connection", "code", "hint"),
        [
            (ConnectionState.ONLINE, "already-paired", "/logout"),
            (ConnectionState.RECONNECTING, "already-paired", "/logout"),
            (ConnectionState.LOGGED_OUT, "logged-out", '/restart {"fresh": true}'),
            (ConnectionState.CONFLICT, "conflict", "/restart"),
            (ConnectionState.BANNED, "banned", "banned"),
            (ConnectionState.OUTDATED, "outdated", "image"),
        ],
    )
    async def test_the_connection_states_why(
        self,
        operator: httpx.AsyncClient,
        live_bot: str,
        fake: FakeRuntime,
        connection: ConnectionState,
        code: str,
        hint: str,
    ) -> None:
        fake.qr, fake.connection = None, connection
        answer = await operator.get(f"/api/bots/{live_bot}/qr", params={"wait": 30})
        assert hint in problem(answer, 409, code)

    async def test_not_approved(self, operator: httpx.AsyncClient, bot: str) -> None:
        assert "/approve" in problem(await operator.get(f"/api/bots/{bot}/qr?wait=30"), 409, "not-approved")

    async def test_stopped(self, operator: httpx.AsyncClient, live_bot: str) -> None:
        await operator.post(f"/api/bots/{live_bot}/stop")
        assert "/start" in problem(await operator.get(f"/api/bots/{live_bot}/qr?wait=30"), 409, "stopped")

    async def test_being_deleted(self, operator: httpx.AsyncClient, live_bot: str) -> None:
        await operator.delete(f"/api/bots/{live_bot}")
        problem(await operator.get(f"/api/bots/{live_bot}/qr?wait=30"), 409, "deleting")

    async def test_terminal_phases(self, operator: httpx.AsyncClient, live_bot: str, fleet: Fleet) -> None:
        await fleet.observe(live_bot, phase="skipped", message="failed to start twice", address=None)
        detail = problem(await operator.get(f"/api/bots/{live_bot}/qr?wait=30"), 409, "skipped")
        assert "failed to start twice" in detail
        assert "/start" in detail

    async def test_unreachable(self, operator: httpx.AsyncClient, live_bot: str, fleet: Fleet) -> None:
        await fleet.observe(live_bot, address="127.0.0.99")
        answer = await operator.get(f"/api/bots/{live_bot}/qr")
        problem(answer, 503, "bot-unreachable")
        assert int(answer.headers["retry-after"]) > 0

    async def test_a_bot_that_rejects_the_token(
        self, operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime
    ) -> None:
        fake.token = "another"
        detail = problem(await operator.get(f"/api/bots/{live_bot}/qr"), 503, "bot-error")
        assert "another" not in detail


class TestPairCode:
    async def test_for_the_bots_own_number(self, operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime) -> None:
        answer = await operator.post(f"/api/bots/{live_bot}/pair-code")
        assert answer.json() == {"code": "ABCD-1234", "expiresAt": "2026-01-02T03:04:05Z"}
        assert fake.pair_codes == ["491701234567"]

    async def test_for_another_number(self, operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime) -> None:
        await operator.post(f"/api/bots/{live_bot}/pair-code", json={"phoneNumber": "+1 555 123 4567"})
        assert fake.pair_codes == ["15551234567"]

    async def test_a_number_is_required(self, operator: httpx.AsyncClient, live_bot: str) -> None:
        await operator.patch(f"/api/bots/{live_bot}", json={"phoneNumber": None})
        problem(await operator.post(f"/api/bots/{live_bot}/pair-code"), 409, "phone-number-required")

    @pytest.mark.parametrize("body", [{"phoneNumber": "12"}, {"phoneNumber": "\x00" * 9}, {"number": "4917012345"}])
    async def test_an_invalid_number(self, operator: httpx.AsyncClient, live_bot: str, body: dict[str, str]) -> None:
        problem(await operator.post(f"/api/bots/{live_bot}/pair-code", json=body), 422, "invalid-input")

    async def test_already_paired(self, operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime) -> None:
        fake.qr, fake.connection = None, ConnectionState.ONLINE
        problem(await operator.post(f"/api/bots/{live_bot}/pair-code"), 409, "already-paired")

    async def test_whatsapp_rejects_the_request(
        self, operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime
    ) -> None:
        fake.fails = (502, "whatsapp-refused", "WhatsApp refused the number")
        problem(await operator.post(f"/api/bots/{live_bot}/pair-code"), 502, "whatsapp-refused")
