"""The controller's HTTP port: what a caller without a valid token learns about bots."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from orchestrator.auth import KeyVerifier
from orchestrator.controller.http import create_app
from orchestrator.db import api_keys
from orchestrator.db.session import Database
from orchestrator.reconcile.metrics import Metrics
from orchestrator.states import Role
from tests.integration.reconcile.conftest import SERVER, Acting, Site


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


@asynccontextmanager
async def controller_port(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the port of a leader with one bot."""
    leader = await site.start()
    await site.create("bot-1")
    await site.phase("bot-1", "online")
    async with client_of(site, leader) as client:
        yield client


@pytest.mark.parametrize("token", [b"Bearer \xe9", b"Bearer x", b""])
async def test_a_wrong_token_does_not_tell_which_bots_exist(site: Site, token: bytes) -> None:
    async with controller_port(site) as client:
        answers = [
            await client.get(f"/internal/bots/{bot}/logs", headers=[(b"Authorization", token)])
            for bot in ("bot-1", "bot-2")
        ]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].content == answers[1].content


@pytest.mark.parametrize(
    ("tail", "status"),
    [("5", 200), ("1" * 4400, 422), ("0", 422), ("1001", 422), ("-1", 422), ("\u0663", 422), ("", 422)],
)
async def test_any_tail_is_answered(site: Site, tail: str, status: int) -> None:
    async with controller_port(site) as client:
        [token] = await site.sql("SELECT runtime_token FROM bots")
        answer = await client.get(
            "/internal/bots/bot-1/logs", params={"tail": tail}, headers={"Authorization": f"Bearer {token}"}
        )
    assert answer.status_code == status


async def test_metrics_are_for_keys_of_the_server_and_of_admins(site: Site, admin_key: str) -> None:
    leader = await site.start()
    await site.sql("INSERT INTO servers (name, max_bots) VALUES ('another', 1)")
    database = Database(site.settings())
    keys = {server: (await new_viewer_key(database, server)) for server in (SERVER, "another")}
    await database.close()
    async with client_of(site, leader) as client:
        for key, status in ((keys[SERVER], 200), (admin_key, 200), (keys["another"], 403), (None, 401)):
            answer = await client.get("/metrics", headers={} if key is None else {"X-Api-Key": key})
            assert answer.status_code == status
            assert ("botdock_messages" in answer.text) is (status == 200)


async def new_viewer_key(database: Database, server: str) -> str:
    """A key that may read one server."""
    async with database.session() as session:
        new = await api_keys.create(session, name="test", role=Role.VIEWER, server_name=server)
        await session.commit()
    return new.key
