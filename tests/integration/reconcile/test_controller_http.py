"""The controller's HTTP port: what a caller without a valid token learns about bots."""

import httpx
import pytest

from orchestrator.auth import KeyVerifier
from orchestrator.controller.http import create_app
from orchestrator.db.session import Database
from orchestrator.reconcile.metrics import Metrics
from tests.integration.reconcile.conftest import Site


@pytest.mark.parametrize("token", [b"Bearer \xe9", b"Bearer x", b""])
async def test_a_wrong_token_does_not_tell_which_bots_exist(site: Site, token: bytes) -> None:
    leader = await site.start()
    await site.create("bot-1")
    await site.phase("bot-1", "online")
    database = Database(site.settings())
    app = create_app(
        controller=leader.controller, engine=leader.engine, verifier=KeyVerifier.on(database), metrics=Metrics()
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://leader") as client:
        answers = [
            await client.get(f"/internal/bots/{bot}/logs", headers=[(b"Authorization", token)])
            for bot in ("bot-1", "bot-2")
        ]
    await database.close()
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].content == answers[1].content
