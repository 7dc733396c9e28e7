"""Responses that cover the whole fleet: read in bounded chunks of plain rows, or summed up by Postgres.

Nothing is timed here. What makes these responses slow and large with thousands of bots is what they load, so that is
what the tests count.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event

from orchestrator.db import fleet as fleet_reads
from orchestrator.db.models import Bot, BotStatus
from orchestrator.db.scope import Scope
from tests.integration.api.conftest import Fleet

BOTS = 25
PER_CHUNK = 10
EVERY_BOT = ["/metrics", "/api/bots/containers/health", "/api/whatsapp/sessions", "/api/whatsapp/metrics"]
LARGE_COLUMNS = ("memory", "last_exit", "settings", "limits", "runtime_token")
IDS = [f"bot-{number:03}" for number in range(1, BOTS + 1)]


@pytest.fixture(autouse=True)
async def bots(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """More bots than fit in two chunks; the last one is being deleted."""
    monkeypatch.setattr(fleet_reads, "ROWS_PER_CHUNK", PER_CHUNK)
    await fleet.sql(
        "INSERT INTO bots (id, server_name, name, deleting) "
        "SELECT 'bot-' || to_char(number, 'FM000'), 'server1', 'Bot', number = %(bots)s "
        "FROM generate_series(1, %(bots)s) AS number",
        bots=BOTS,
    )
    await fleet.sql("UPDATE bot_status SET phase = 'online', messages_sent = 2, errors = 1, restarts = 3")


@pytest.fixture
def statements(app: FastAPI) -> Iterator[list[str]]:
    """The statements of the api."""
    engine = app.state.context.database.engine.sync_engine
    seen: list[str] = []

    def executed(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", executed)
    yield seen
    event.remove(engine, "before_cursor_execute", executed)


@pytest.mark.parametrize("path", EVERY_BOT)
async def test_no_row_of_a_bot_is_loaded_as_a_model_or_with_its_large_columns(
    admin: httpx.AsyncClient, statements: list[str], path: str
) -> None:
    loaded: list[object] = []

    def on_load(target: object, _: object) -> None:
        loaded.append(target)

    for model in (Bot, BotStatus):
        event.listen(model, "load", on_load)
    try:
        assert (await admin.get(path)).status_code == 200
    finally:
        for model in (Bot, BotStatus):
            event.remove(model, "load", on_load)
    assert loaded == []
    of_bots = [statement for statement in statements if "bot_status" in statement]
    assert of_bots
    assert [(column, text) for text in of_bots for column in LARGE_COLUMNS if f".{column}" in text] == []


async def test_all_bots_are_read_with_one_statement_a_bounded_number_of_rows_at_a_time(
    app: FastAPI, statements: list[str]
) -> None:
    async with app.state.context.database.session() as session:
        chunks = [list(rows) async for rows in fleet_reads.chunks(session, Scope("server1"), Bot.id)]
    assert [len(rows) for rows in chunks] == [10, 10, 5]
    assert [row[0] for rows in chunks for row in rows] == IDS
    assert len([statement for statement in statements if "bot_status" in statement]) == 1


async def test_the_totals_of_the_pool_are_one_row(admin: httpx.AsyncClient, statements: list[str]) -> None:
    totals = (await admin.get("/api/whatsapp/metrics")).json()["metrics"]
    assert (totals["totalSessions"], totals["activeConnections"], totals["messagesSent"]) == (24, 24, 48)
    [statement] = [statement for statement in statements if "bot_status" in statement]
    assert "sum(bot_status.messages_sent)" in statement
    assert "GROUP BY" not in statement


async def test_every_bot_is_in_the_response_once(admin: httpx.AsyncClient, operator: httpx.AsyncClient) -> None:
    health = await operator.get("/api/bots/containers/health")
    assert health.headers["content-type"] == "application/json"
    assert list(health.json()) == IDS
    assert health.json()["bot-025"]["botStatus"] == "stopping"
    sessions = (await operator.get("/api/whatsapp/sessions")).json()
    assert [item["companyId"] for item in sessions["sessions"]] == IDS[:-1]
    assert (sessions["success"], sessions["count"], sessions["metrics"]["errors"]) == (True, 24, 24)
    families = {family.name: family for family in text_string_to_metric_families((await admin.get("/metrics")).text)}
    restarts = families["bot_restarts"]
    assert (restarts.type, {sample.value for sample in restarts.samples}) == ("counter", {3.0})
    assert [sample.labels for sample in restarts.samples] == [{"bot": bot, "server": "server1"} for bot in IDS]
    assert [sample.value for sample in families["bot_online"].samples] == [1.0] * 24 + [0.0]
    assert families["bot_last_heartbeat_timestamp_seconds"].samples == []


async def test_another_server_has_none(stranger: httpx.AsyncClient) -> None:
    assert (await stranger.get("/api/bots/containers/health")).json() == {}
    sessions = (await stranger.get("/api/whatsapp/sessions")).json()
    assert (sessions["count"], sessions["sessions"], sessions["metrics"]["totalSessions"]) == (0, [], 0)
    assert "bot-001" not in (await stranger.get("/metrics")).text


async def test_a_server_with_an_unusual_name_does_not_break_the_metrics(admin: httpx.AsyncClient, fleet: Fleet) -> None:
    unusual = 'a"b\\c\nd'
    await fleet.sql("INSERT INTO servers (name, max_bots) VALUES (%(name)s, 1)", name=unusual)
    await fleet.sql("INSERT INTO bots (id, server_name, name) VALUES ('unusual', %(name)s, 'Bot')", name=unusual)
    families = text_string_to_metric_families((await admin.get("/metrics")).text)
    servers = [
        sample.labels["server"]
        for family in families
        if family.name == "bot_healthy"
        for sample in family.samples
        if sample.labels["bot"] == "unusual"
    ]
    assert servers == [unusual]
