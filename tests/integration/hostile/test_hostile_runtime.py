"""A runtime that answers anything, against the real controller and api with a real Postgres: it harms only itself.

Each example is one hostile bot beside two ordinary ones, from its creation to its deletion. By default only a few are
tried, always the same ones; BOTDOCK_HOSTILE_EXAMPLES=1000 tries as many others.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from bot_runtime.contract import PORT, EventType
from orchestrator.api.app import create_app
from orchestrator.engine.memory.host import MemoryContainer, MemoryHost
from orchestrator.logs import LineFormatter
from orchestrator.reconcile import event_reader
from orchestrator.settings import Settings
from tests.integration.reconcile.conftest import Site, eventually, name
from tests.integration.reconcile.live_host import LiveHost
from tests.support.hostile.answers import scripts
from tests.support.hostile.server import HostileServer, Script

HOSTILE = "hostile"
"""The ids of compromised bots begin with it."""
OTHERS = ("ann", "bob")
EXAMPLES = int(os.environ.get("BOTDOCK_HOSTILE_EXAMPLES", "8"))
QUICK = {"probe_interval": 0.1, "probe_timeout": 0.3, "probe_failure_threshold": 20, "lease_seconds": 60}
"""Shorter than an installation may choose, so that many answers are requested within a second; but nothing times out
while the machine is busy."""
MAX_CALL_SECONDS = 40.0
FAILURES = ("sweep failed", "writing status failed", "writing the status", "storing events", "the controller failed")
"""Log lines about faults that affect all bots, or repeat for ever."""
MAX_BOT_BYTES = 32 << 10
"""Of a bot in the answer of the api, whatever its runtime reports."""
LISTS = (
    *("/api/bots", "/api/bots/containers/health", "/api/whatsapp/sessions", "/api/servers", "/health", "/metrics"),
    *("/api/whatsapp/metrics", "/api/commands"),
)
READS = (
    "",
    "/events?limit=200",
    "/groups",
    "/messages",
    "/qr",
    "/logs",
    "/groups/1@g.us",
    "/media/M1",
    "/qr?format=png",
)
WRITES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/pair-code?wait=0.2", {"phoneNumber": "491700000001"}),
    ("/messages?wait=0.3", {"to": "491700000002", "message": "hello"}),
    ("/connection/reset", {}),
    ("/logout", {}),
)


class HostileHost(LiveHost):
    """A machine on which one bot at a time is compromised."""

    def __init__(self) -> None:
        super().__init__()
        self.script: Script = {}
        self.server: HostileServer | None = None

    def run(self, container: MemoryContainer) -> None:
        if not container.name.startswith(name(HOSTILE)):
            super().run(container)
            return
        MemoryHost.run(self, container)
        while self.server is None:
            container.address = next(self._addresses)
            try:
                self.server = HostileServer(container.address, PORT, self.script)
            except OSError:
                continue  # taken by another run of the tests on this machine

    def crash(self, name_: str, exit_code: int, *, oom: bool = False) -> None:
        super().crash(name_, exit_code, oom=oom)
        if name_.startswith(name(HOSTILE)) and self.server is not None:
            self.server.end()
            self.server = None


class QuickSite(Site):
    """A site that asks its bots often."""

    def settings(self, **changes: Any) -> Settings:
        return super().settings(**changes).model_copy(update=QUICK)


class Stage:
    """A controller, an api, and the bots."""

    def __init__(self, site: Site, host: HostileHost, api: httpx.AsyncClient) -> None:
        self.site = site
        self.host = host
        self.api = api
        self._numbers = itertools.count(1)

    async def play(self, script: Script) -> None:
        """One hostile bot, from its creation to its deletion."""
        self.host.script = script
        bot = f"{HOSTILE}-{next(self._numbers)}"
        await self.site.create(bot)
        server = await self.site.seen(lambda: self.host.server)
        assert server is not None
        await self.site.seen(lambda: server.requests["GET /health"] > 2)
        calls = [self.call("GET", f"/api/bots/{bot}{path}") for path in READS]
        calls += [self.call("POST", f"/api/bots/{bot}{path}", body) for path, body in WRITES]
        await asyncio.gather(*calls)
        await self.check_lists()
        for other in OTHERS:
            await self.check_other(other)
        assert (await self.call("POST", f"/api/bots/{bot}/stop")).is_success
        await self.site.phase(bot, "stopped")
        assert (await self.call("DELETE", f"/api/bots/{bot}")).is_success
        await eventually(lambda: self.site.status(bot), lambda row: row is None)

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """A call of the api, which answers in time and never fails itself."""
        async with asyncio.timeout(MAX_CALL_SECONDS):
            answer = await self.api.request(method, path, json=body)
        assert answer.status_code != 500, f"{method} {path}: {answer.text}"
        return answer

    async def check_lists(self) -> None:
        """Everything about all bots can be read, and is not much larger because of one."""
        for path in LISTS:
            answer = await self.call("GET", path)
            assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
            assert len(answer.content) < (len(OTHERS) + 1) * MAX_BOT_BYTES, path

    async def check_other(self, bot: str) -> None:
        """The bot was not restarted, its events arrive, and it sends."""
        runtime, container = self.site.runtime(bot), self.host.containers[name(bot)]
        assert container.starts == 1
        sent, stored = len(runtime.sent), len(await self.site.events(bot, "call"))
        runtime.spool.put(EventType.CALL, {"id": "1"})
        message = {"to": str(491_700_000_000 + next(self._numbers)), "message": "hello"}
        answer = await self.call("POST", f"/api/bots/{bot}/messages?wait=20", message)
        assert answer.json()["state"] == "sent", answer.text
        assert len(runtime.sent) == sent + 1
        await eventually(lambda: self.site.events(bot, "call"), lambda events: len(events) == stored + 1)
        status = (await self.call("GET", f"/api/bots/{bot}")).json()["status"]
        assert (status["phase"], status["restarts"]) == ("online", 0)


@pytest.fixture
async def stage(database_url: str, admin_key: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """Two ordinary bots that are online."""
    monkeypatch.setattr(event_reader, "RETRY_DELAY_SECONDS", 0.05)
    monkeypatch.setattr(event_reader, "MAX_RETRY_DELAY_SECONDS", 0.05)
    async with AsyncExitStack() as stack:
        site, host = QuickSite(database_url), HostileHost()
        site.host = host
        stack.push_async_callback(site.close)
        await site.start()
        application = create_app(site.settings(), runtime_port=PORT)
        await stack.enter_async_context(application.router.lifespan_context(application))
        transport = httpx.ASGITransport(application, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://botdock", headers={"X-Api-Key": admin_key})
        api = await stack.enter_async_context(client)
        for bot in OTHERS:
            await site.create(bot)
        for bot in OTHERS:
            await site.phase(bot, "online")
        yield Stage(site, host, api)


tried = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="BOTDOCK_HOSTILE_EXAMPLES" not in os.environ,
    database=None,
    # Not shrunk: an example takes a second.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@tried
@given(script=scripts(HOSTILE))
async def test_a_runtime_that_answers_anything_harms_only_itself(
    stage: Stage, caplog: pytest.LogCaptureFixture, script: Script
) -> None:
    await stage.play(script)
    lines = [record for record in caplog.records if record.name.startswith("orchestrator")]
    failures = [line for line in lines if line.exc_info or line.getMessage().startswith(FAILURES)]
    assert not failures, [LineFormatter().format(line) for line in failures]
