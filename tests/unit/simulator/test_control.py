"""The control API without clients: people, texts between phones, and errors."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from whatsapp_simulator import tokens
from whatsapp_simulator.control import app
from whatsapp_simulator.simulator import Simulator

ANNA, BERT = "491701234567", "491711111111"


@pytest.fixture
async def api() -> AsyncIterator[httpx.AsyncClient]:
    """The API of a simulator without connections."""
    transport = httpx.ASGITransport(app.create(Simulator(tokens.default())), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as client:
        yield client


async def test_accounts_are_created_once(api: httpx.AsyncClient) -> None:
    first = await api.post("/accounts", json={"phone": "+49 170 1234567", "name": "Anna"})
    second = await api.post("/accounts", json={"phone": ANNA})

    assert first.json() == second.json()
    assert first.json() | {"lid": ""} == {"phone": ANNA, "lid": "", "name": "Anna", "devices": [], "failure": None}
    assert (await api.get("/accounts")).json() == {"items": [first.json()]}
    assert (await api.get(f"/accounts/{ANNA}")).json() == first.json()
    assert (await api.get("/health")).json() == {"status": "ok", "accounts": 1, "connections": 0, "pairing": 0}


async def test_contacts_exchange_messages(api: httpx.AsyncClient) -> None:
    for phone in (ANNA, BERT):
        await api.post("/contacts", json={"phone": phone})

    sent = [(await api.post(f"/contacts/{ANNA}/messages", json={"to": BERT, "text": text})).json() for text in "ab"]

    page = (await api.get(f"/contacts/{BERT}/inbox")).json()
    assert [(item["id"], item["from"], item["text"]) for item in page["items"]] == [
        (sent[0]["id"], ANNA, "a"),
        (sent[1]["id"], ANNA, "b"),
    ]
    rest = (await api.get(f"/contacts/{BERT}/inbox", params={"after": page["items"][0]["index"]})).json()
    assert [item["text"] for item in rest["items"]] == ["b"]
    assert rest["next"] == page["next"]
    assert (await api.get(f"/contacts/{BERT}/inbox", params={"after": page["next"]})).json() == {
        "items": [],
        "next": page["next"],
    }


async def test_reading_an_inbox_waits_for_a_message(api: httpx.AsyncClient) -> None:
    for phone in (ANNA, BERT):
        await api.post("/contacts", json={"phone": phone})
    waiting = asyncio.create_task(api.get(f"/contacts/{BERT}/inbox", params={"wait": 30}))
    await asyncio.sleep(0)

    await api.post(f"/contacts/{ANNA}/messages", json={"to": BERT, "text": "hello"})

    assert [item["text"] for item in (await waiting).json()["items"]] == ["hello"]


async def test_a_contacts_settings_change_only_when_given(api: httpx.AsyncClient) -> None:
    await api.post("/contacts", json={"phone": ANNA, "readReceipts": True})

    assert (await api.post("/contacts", json={"phone": ANNA, "name": "Anna"})).json()["readReceipts"] is True


async def test_failures_are_reported_and_cleared(api: httpx.AsyncClient) -> None:
    await api.post("/accounts", json={"phone": ANNA})

    failed = (await api.post(f"/accounts/{ANNA}/failures", json={"kind": "refuse", "count": 3})).json()
    cleared = (await api.delete(f"/accounts/{ANNA}/failures")).json()

    assert failed["failure"] == {"kind": "refuse", "until": None, "remainingConnections": 3}
    assert cleared["failure"] is None
    failure = (await api.post("/failures", json={"kind": "deaf", "seconds": 60})).json()
    assert failure["kind"] == "deaf"
    assert failure["until"] is not None
    assert (await api.delete("/failures")).json() is None


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nowhere", None, 404, "not-found"),
        ("PUT", "/accounts", None, 405, "method-not-allowed"),
        ("POST", "/accounts", {"phone": "0123"}, 422, "invalid-phone"),
        ("POST", "/accounts", {}, 422, "invalid-request"),
        ("POST", "/accounts", {"phone": ANNA, "colour": "red"}, 422, "invalid-request"),
        ("GET", f"/accounts/{BERT}", None, 404, "unknown-account"),
        ("POST", f"/accounts/{BERT}/failures", {"kind": "drop"}, 404, "unknown-account"),
        ("POST", "/failures", {"kind": "earthquake"}, 422, "invalid-request"),
        ("POST", "/failures", {"kind": "drop", "count": 0}, 422, "invalid-request"),
        ("POST", f"/accounts/{ANNA}/scan", {"qr": "https://example.org"}, 422, "not-a-linking-code"),
        ("POST", f"/accounts/{ANNA}/scan", {"qr": "2@x" + f",{'A' * 43}=" * 3}, 404, "unknown-code"),
        ("POST", f"/accounts/{ANNA}/enter-code", {"code": "12"}, 422, "not-a-linking-code"),
        ("POST", f"/accounts/{ANNA}/enter-code", {"code": "ABCD1234"}, 409, "no-code-pending"),
        ("GET", f"/contacts/{BERT}/inbox", None, 404, "unknown-phone"),
        ("GET", f"/contacts/{BERT}/receipts", None, 404, "unknown-phone"),
        ("POST", f"/contacts/{BERT}/messages", {"to": ANNA, "text": "x"}, 404, "unknown-phone"),
        ("POST", f"/contacts/{ANNA}/messages", {"to": ANNA, "text": ""}, 422, "invalid-request"),
    ],
)
async def test_errors_have_a_code_and_a_message(
    api: httpx.AsyncClient, method: str, path: str, body: dict[str, str] | None, status: int, code: str
) -> None:
    await api.post("/accounts", json={"phone": ANNA})

    answer = await api.request(method, path, json=body)

    assert answer.status_code == status
    assert answer.json()["code"] == code
    assert set(answer.json()) == {"code", "message"}
    assert answer.json()["message"]


async def test_every_operation_is_documented(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()

    for path, calls in document["paths"].items():
        for method, call in calls.items():
            assert call.get("description"), f"{method} {path}"
    assert (await api.get("/docs")).status_code == 200


async def test_the_api_documentation_needs_no_internet(api: httpx.AsyncClient) -> None:
    page = await api.get("/docs")
    assert page.status_code == 200
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 3
    for path in loaded:
        assert (await api.get(path)).status_code == 200, path
    assert "/contacts/{phone}/messages" in (await api.get("/openapi.json")).json()["paths"]
