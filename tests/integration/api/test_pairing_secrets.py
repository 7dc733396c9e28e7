"""Only a key that may write gets what pairs a phone, whichever route it asks; and no key gets tokens or other keys."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot_runtime.contract import EventType
from bot_runtime.whatsapp.terminal import draw_qr
from tests.integration.api.conftest import Fleet
from tests.integration.api.fake_runtime import QR, FakeRuntime, listening
from tests.integration.api.live_bot import live_bot, runtime_port  # noqa: F401
from tests.integration.api.test_access import ROUTES, url

# ruff: noqa: F811

READS = [path for method, path in ROUTES if method == "GET"]
DRAWN = ["2026-01-02 INFO scan this QR code with the phone", *draw_qr(QR.code, QR.expires_at).splitlines()]
QUERIES = ("", "?after=0", "?limit=200", "?wait=1")


@pytest.fixture
async def pairing(fleet: Fleet, live_bot: str) -> AsyncIterator[str]:
    """A bot that shows a QR code wherever it can: at its endpoint, in events of any type, its log and its last exit."""
    for event_type in EventType:
        await fleet.event(live_bot, event_type, {"connection": "connecting", "qr": QR.code})
    await fleet.event(live_bot, "newer", {"pairing": [{"qr": QR.code}], "text": f"scan {QR.code} now"})
    await fleet.event(live_bot, "qr", {"unreadable": json.dumps({"seq": -1, "data": {"qr": QR.code}})})

    async def logs(_request: Request) -> Response:
        return JSONResponse({"lines": DRAWN})

    async with listening(Starlette(routes=[Route(f"/internal/bots/{live_bot}/logs", logs)])) as port:
        await fleet.sql(
            "UPDATE servers SET controller = %(address)s, controller_seen_at = now() WHERE name = 'server1'",
            address=f"127.0.0.1:{port}",
        )
        await fleet.observe(live_bot, container_id="c0ffee", last_exit={"exitCode": 1, "logs": DRAWN})
        yield live_bot


def secrets(drawn: list[str]) -> list[str]:
    """What pairs a phone, in the forms in which it may be answered."""
    return [QR.code, *drawn[1:-1]]


@pytest.mark.parametrize("path", READS)
async def test_a_viewer_finds_nothing_that_pairs_a_phone(
    viewer: httpx.AsyncClient, fake: FakeRuntime, pairing: str, path: str
) -> None:
    for query in QUERIES:
        response = await viewer.get(url(path, pairing) + query)
        found = [secret for secret in secrets(DRAWN) if secret in response.text]
        assert not found, f"GET {path}{query}: {response.text[:500]}"


@pytest.mark.parametrize("path", READS)
async def test_nobody_finds_tokens_or_the_hashes_of_keys(
    admin: httpx.AsyncClient, fleet: Fleet, fake: FakeRuntime, pairing: str, path: str
) -> None:
    rows = await fleet.sql("SELECT runtime_token FROM bots UNION ALL SELECT key_hash FROM api_keys")
    response = await admin.get(url(path, pairing))
    assert not [secret for (secret,) in rows if secret in response.text]


async def test_a_writer_gets_the_codes(operator: httpx.AsyncClient, fake: FakeRuntime, pairing: str) -> None:
    events = (await operator.get(f"/api/bots/{pairing}/events?limit=200")).json()["items"]
    assert {event["data"]["qr"] for event in events if "qr" in event["data"]} == {QR.code}
    assert len([event for event in events if QR.code in str(event["data"])]) == len(EventType) + 2
    assert (await operator.get(f"/api/bots/{pairing}/logs")).json()["items"] == DRAWN


async def test_what_a_viewer_gets_instead(viewer: httpx.AsyncClient, fake: FakeRuntime, pairing: str) -> None:
    events = (await viewer.get(f"/api/bots/{pairing}/events?limit=200")).json()["items"]
    unreadable, newer, *known = (event["data"] for event in events)
    assert {(data["connection"], data["qr"]) for data in known} == {("connecting", None)}
    assert newer == {"pairing": [{"qr": None}], "text": "scan (QR code hidden) now"}
    assert json.loads(unreadable["unreadable"]) == {"seq": -1, "data": {"qr": "(QR code hidden)"}}
    lines = (await viewer.get(f"/api/bots/{pairing}/logs")).json()["items"]
    assert lines[0] == DRAWN[0]
    assert "QR code hidden" in lines[1]
    assert lines[2:] == [DRAWN[-1]]


def test_rows_of_text_are_no_qr_codes() -> None:
    from orchestrator.api.bots.pairing_secrets import without_drawn_qr_codes

    lines = ["", "   indented   far             away", "█▀▄ a short bar", " " * 40]
    assert without_drawn_qr_codes(lines) == lines
