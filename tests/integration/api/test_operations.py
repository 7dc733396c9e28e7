"""Probes, overview and metrics; behaviour while Postgres is unavailable."""

import re
import uuid

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from orchestrator import __version__
from orchestrator.api.app import create_app
from orchestrator.settings import Settings
from tests.integration.api.conftest import Fleet, problem
from tests.support.databases import at, execute

NOWHERE = "postgresql://nobody:very-secret@127.0.0.1:9/none"


async def test_probes_need_no_key(nobody: httpx.AsyncClient) -> None:
    assert (await nobody.get("/livez")).json() == {"status": "ok"}
    assert (await nobody.get("/readyz")).json() == {"status": "ok"}


async def test_the_overview(admin: httpx.AsyncClient, fleet: Fleet, bot: str) -> None:
    body = (await admin.get("/health")).json()
    assert (body["status"], body["bots"], body["phases"]) == ("degraded", 1, {"pending": 1})
    assert body["serversWithoutController"] == ["server1"]
    assert body["versions"]["botdock"] == __version__
    assert body["versions"]["databaseRevision"]
    await fleet.sql("UPDATE servers SET controller = 'x:1', controller_seen_at = now()")
    assert (await admin.get("/health")).json()["status"] == "ok"


async def test_fleet_metrics(admin: httpx.AsyncClient, fleet: Fleet, bot: str) -> None:
    await fleet.observe(bot, phase="online", restarts=4, healthy=True, last_heartbeat="2026-01-01T00:00:00Z")
    await admin.get(f"/api/bots/{bot}")
    text = (await admin.get("/metrics")).text
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    of_bot = (("bot", bot), ("server", "server1"))
    assert samples["bot_status_phase", (("phase", "online"), ("server", "server1"))] == 1
    assert samples["bot_status_phase", (("phase", "crash-loop"), ("server", "server1"))] == 0
    assert samples["bot_online", of_bot] == 1
    assert samples["bot_restarts_total", of_bot] == 4
    assert samples["bot_last_heartbeat_timestamp_seconds", of_bot] == 1767225600
    assert samples["server_max_bots", (("server", "server1"),)] == 20
    route = (("method", "GET"), ("route", "/api/bots/{id}"), ("status", "200"))
    assert samples["http_requests_total", route] == 1


async def test_a_deleted_bot_leaves_no_labels(admin: httpx.AsyncClient, fleet: Fleet, bot: str) -> None:
    assert f'bot="{bot}"' in (await admin.get("/metrics")).text
    await fleet.sql("DELETE FROM bots")
    assert f'bot="{bot}"' not in (await admin.get("/metrics")).text


async def test_paths_of_requests_create_no_labels(admin: httpx.AsyncClient) -> None:
    for path in ("/api/bots/zzz-secret", "/zzz-secret", "/api/zzz-secret/x"):
        await admin.get(path)
    await admin.request("ZZZ-SECRET", "/api/bots")
    assert "zzz-secret" not in (await admin.get("/metrics")).text.lower()


async def test_a_database_that_is_not_migrated(postgres_url: str, postgres_template: object) -> None:
    name = f"botdock_test_{uuid.uuid4().hex[:12]}"
    execute(postgres_url, f'CREATE DATABASE "{name}"')
    app = create_app(Settings(database_url=at(postgres_url, name)))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://botdock") as client,
    ):
        assert "run migrate" in problem(await client.get("/readyz"), 503, "not-migrated")
    execute(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)')


class TestPostgresUnavailable:
    async def test_the_process_starts_and_reports_it(self, caplog: pytest.LogCaptureFixture) -> None:
        app = create_app(Settings(database_url=NOWHERE))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://botdock") as client,
        ):
            assert (await client.get("/livez")).status_code == 200
            answer = await client.get("/readyz")
            problem(answer, 503, "database-unavailable")
            assert int(answer.headers["retry-after"]) > 0
            key = "bd_0123abcd_" + "A" * 43
            for method, path in [("GET", "/api/bots"), ("POST", "/api/bots"), ("GET", "/metrics"), ("GET", "/docs")]:
                refused = await client.request(method, path, headers={"X-Api-Key": key})
                problem(refused, 503, "database-unavailable")
        assert "very-secret" not in caplog.text

    async def test_it_recovers(
        self, admin: httpx.AsyncClient, nobody: httpx.AsyncClient, bot: str, database_url: str, postgres_url: str
    ) -> None:
        name = database_url.rsplit("/", 1)[1]
        assert (await admin.get(f"/api/bots/{bot}")).status_code == 200
        execute(postgres_url, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        execute(postgres_url, ended)
        problem(await admin.get(f"/api/bots/{bot}"), 503, "database-unavailable")
        problem(await admin.post(f"/api/bots/{bot}/approve"), 503, "database-unavailable")
        hello = {"to": "4917012345678", "message": "Hello"}
        problem(await admin.post(f"/api/bots/{bot}/messages", json=hello), 503, "database-unavailable")
        assert (await admin.get("/api/whatsapp/sessions")).json()["success"] is False
        problem(await nobody.get("/readyz"), 503, "database-unavailable")
        execute(postgres_url, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        assert (await nobody.get("/readyz")).status_code == 200
        assert (await admin.post(f"/api/bots/{bot}/approve")).status_code == 200


async def test_the_documentation_is_self_contained(admin: httpx.AsyncClient) -> None:
    page = await admin.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "https://" not in page.text
    assert "window.location.origin + '/openapi.json'" in page.text, "opened as http://user:key@host it works, too"
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) == 3
    for link in links:
        assert (await admin.get(link)).status_code == 200
    for other in ("/docs/main.py", "/docs/..%2fmain.py"):
        assert (await admin.get(other)).status_code == 404


async def test_a_browser_is_asked_for_the_key(nobody: httpx.AsyncClient) -> None:
    for path in ("/docs", "/docs/swagger-ui.css", "/openapi.json"):
        answer = await nobody.get(path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic ")
