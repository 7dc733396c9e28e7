"""Hostile requests with a valid key: the response is always a clear problem, never a traceback."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.logs import LineFormatter
from tests.integration.api.conftest import HELLO, Fleet, problem
from tests.integration.api.fake_runtime import listening
from tests.integration.reconcile.conftest import eventually

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "body", [b"{", b"{]", b"\xff\xfe", b"[" * 100_000, b'{"name": "x"', b'{"a": ' + b"9" * 5000 + b"}", b"NaN"]
)
async def test_malformed_json(operator: httpx.AsyncClient, body: bytes) -> None:
    answer = await operator.post("/api/bots", content=body, headers=JSON)
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


async def test_the_position_of_a_json_error(operator: httpx.AsyncClient) -> None:
    answer = await operator.post("/api/bots", content=b'{"name": oops}', headers=JSON)
    assert "character 9" in problem(answer, 400, "malformed-json")


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/plain"}])
async def test_a_body_without_the_json_content_type(operator: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await operator.post("/api/bots", content=b'{"name": "x"}', headers=headers)
    assert "Content-Type: application/json" in problem(answer, 422, "invalid-input")


class TestHugeBodies:
    async def test_a_content_length_beyond_the_limit(self, operator: httpx.AsyncClient) -> None:
        body = json.dumps({"name": "x" * (1 << 20)}).encode()
        problem(await operator.post("/api/bots", content=body, headers=JSON), 413, "too-large")

    async def test_a_chunked_body_on_a_real_socket(self, app: FastAPI, admin_key: str) -> None:
        async def endless() -> AsyncIterator[bytes]:
            for _ in range(64):
                yield b" " * 65_536

        async with listening(app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            answer = await client.post("/api/bots", content=endless(), headers={**JSON, "X-Api-Key": admin_key})
            problem(answer, 413, "too-large")

    async def test_a_body_of_the_maximum_size(self, operator: httpx.AsyncClient) -> None:
        body = json.dumps({"name": "x"}).encode().ljust(1 << 20)
        assert (await operator.post("/api/bots", content=body, headers=JSON)).status_code == 201


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=80), bot_id=st.one_of(st.none(), st.text(max_size=60)), field=st.text(max_size=10))
async def test_any_text_is_accepted_or_rejected_with_a_problem(
    operator: httpx.AsyncClient, fleet: Fleet, name: str, bot_id: str | None, field: str
) -> None:
    await fleet.sql("UPDATE servers SET max_bots = 100000")
    body = {"name": name, **({} if bot_id is None else {"id": bot_id})}
    made = await operator.post("/api/bots", content=json.dumps(body), headers=JSON)
    assert made.status_code in {201, 409, 422}, made.text
    if made.status_code == 201:
        bot = made.json()
        assert (await operator.get(f"/api/bots/{bot['id']}")).json()["name"] == bot["name"]
        assert bot["name"].isprintable() or not bot["name"].isascii()
    odd = await operator.post("/api/bots", content=json.dumps({"name": "x", field + "!": 1}), headers=JSON)
    problem(odd, 422, "invalid-input")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.text(min_size=1, max_size=40).filter(lambda path: path not in {".", ".."}))  # the client resolves them
async def test_any_path_gets_a_response(operator: httpx.AsyncClient, path: str) -> None:
    from urllib.parse import quote

    answer = await operator.get("/api/bots/" + quote(path, safe="", errors="surrogatepass"))
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "raw", [b'{"name": "\\ud800"}', b'{"name": "x", "\\ud800": 1}', b'{"name": "x", "id": "\\udfff"}']
)
async def test_lone_surrogates(operator: httpx.AsyncClient, raw: bytes) -> None:
    problem(await operator.post("/api/bots", content=raw, headers=JSON), 422, "invalid-input")


@pytest.mark.parametrize(
    ("path", "body"),
    [("/api/commands", {"name": "hours", "botId": "bot-1", "response": "x"}), ("/api/bots/bot-1/messages", HELLO)],
)
async def test_a_bot_that_is_deleted_while_a_request_refers_to_it(
    operator: httpx.AsyncClient, sender: str, database_url: str, path: str, body: dict[str, str]
) -> None:
    assert sender == "/api/bots/bot-1/messages"
    async with await psycopg.AsyncConnection.connect(database_url) as controller:
        await controller.execute("DELETE FROM bots WHERE id = 'bot-1'")
        request = asyncio.create_task(operator.post(path, json=body))
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as observer:

            async def waits() -> bool:
                waiting = (
                    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
                return (await observer.execute(waiting)).rowcount > 0

            await eventually(waits)
        await controller.commit()
    problem(await request, 404, "not-found")


async def test_an_unexpected_error_exposes_no_internals(
    operator: httpx.AsyncClient, fleet: Fleet, bot: str, caplog: pytest.LogCaptureFixture
) -> None:
    await fleet.sql("ALTER TABLE bots RENAME COLUMN phone_number TO gone")
    answer = await operator.get(f"/api/bots/{bot}")
    detail = problem(answer, 500, "internal-error")
    assert "phone_number" not in detail
    assert "phone_number" in caplog.text


async def test_no_secret_is_ever_logged(
    app: FastAPI, fleet: Fleet, bot: str, admin_key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with listening(app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        headers = {"X-Api-Key": admin_key}
        made = await client.post("/api/keys", json={"name": "x", "role": "admin"}, headers=headers)
        await client.get(f"/api/bots/{bot}/logs", headers=headers)
        await client.get("/docs", auth=("x", admin_key))
        await client.get("/api/bots", headers={"Authorization": f"Bearer {admin_key}"})
    token = (await fleet.bot_row(bot))["runtime_token"]
    shown = "\n".join(LineFormatter().format(record) for record in caplog.records)
    for secret in (admin_key, made.json()["key"], token):
        assert secret not in shown
    assert "POST /api/keys: 201" in shown


async def test_more_requests_than_database_connections(operator: httpx.AsyncClient, bot: str) -> None:
    answers = await asyncio.gather(*(operator.get(f"/api/bots/{bot}") for _ in range(60)))
    assert {answer.status_code for answer in answers} == {200}
