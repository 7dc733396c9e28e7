"""The controller's HTTP port: what a caller without a valid token learns about bots."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from orchestrator.auth import KeyVerifier
from orchestrator.controller import http
from orchestrator.controller.http import create_app
from orchestrator.db.session import Database
from orchestrator.reconcile.metrics import Metrics
from tests.integration.reconcile.conftest import Acting, Site


@asynccontextmanager
async def client_of(site: Site, leader: Acting) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the leader's HTTP port."""
    database = Database(site.settings())
    app = create_app(
        controller=leader.controller, engine=leader.engine, verifier=KeyVerifier.on(database), metrics=Metrics()
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://leader") as client:
        yield client
    await database.close()


@pytest.mark.parametrize("token", [b"Bearer \xe9", b"Bearer x", b""])
async def test_a_wrong_token_does_not_tell_which_bots_exist(site: Site, token: bytes) -> None:
    leader = await site.start()
    await site.create("bot-1")
    await site.phase("bot-1", "online")
    async with client_of(site, leader) as client:
        answers = [
            await client.get(f"/internal/bots/{bot}/logs", headers=[(b"Authorization", token)])
            for bot in ("bot-1", "bot-2")
        ]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].content == answers[1].content


async def test_few_logs_are_read_from_the_engine_at_the_same_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LOG_SECONDS", 0.2)
    leader = await site.start()
    await site.create("bot-1")
    await site.phase("bot-1", "online")
    [token] = await site.sql("SELECT runtime_token FROM bots")
    reading: list[str] = []
    most = 0

    async def hang(container: str, **_: object) -> list[str]:
        nonlocal most
        reading.append(container)
        most = max(most, len(reading))
        try:
            await asyncio.Event().wait()
        finally:
            reading.pop()
        return []

    monkeypatch.setattr(leader.engine, "logs", hang)
    async with client_of(site, leader) as client:
        headers = {"Authorization": f"Bearer {token}"}
        calls = [client.get("/internal/bots/bot-1/logs", headers=headers) for _ in range(10)]
        answers = await asyncio.gather(*calls)
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(503, "busy")}
    assert most == http.LOG_READS
