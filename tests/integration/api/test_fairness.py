"""What one tenant does with its connections and requests takes nothing from others."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import ASGIApp

from orchestrator import serving
from orchestrator.api import auth_middleware
from orchestrator.api.turns import LongCall
from tests.integration.api.conftest import Fleet, problem
from tests.integration.reconcile.conftest import eventually

LARGE = Response(bytes(32 << 20))
"""An application with a response that is larger than the buffers of the sockets."""
HEAD = "POST /api/bots HTTP/1.1\r\nHost: x\r\nX-Api-Key: {key}\r\nContent-Type: application/json\r\n"


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[int]:
    """The port of the application, served as in production."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = int(reserved.getsockname()[1])
    task = asyncio.create_task(serving.serve(app, host="127.0.0.1", port=port, closed_to="10.213.0.0/16"))
    try:

        async def listens() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return False
            writer.close()
            return True

        await eventually(listens)
        yield port
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_requests_that_wait_in_postgres_hold_up_only_their_own_tenant(
    operator: httpx.AsyncClient, stranger: httpx.AsyncClient, bot: str, database_url: str
) -> None:
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        await other.execute("SELECT FROM bots WHERE id = %s FOR UPDATE", [bot])
        changes = [
            asyncio.create_task(operator.patch(f"/api/bots/{bot}", json={"name": f"New {number}"}))
            for number in range(20)
        ]
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as observer:

            async def waits() -> bool:
                waiting = (
                    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
                return (await observer.execute(waiting)).rowcount > 0

            await eventually(waits)
        assert (await stranger.get("/api/bots")).status_code == 200
        assert not any(change.done() for change in changes)
        await other.rollback()
    assert {(await change).status_code for change in changes} == {200}


async def test_few_logs_of_a_tenant_are_read_at_the_same_time(
    app: FastAPI, operator: httpx.AsyncClient, bot: str, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fleet.observe(bot, container_id="c0ffee")
    await fleet.sql("UPDATE servers SET controller = 'x:1', controller_seen_at = now()")
    reading = 0
    release = asyncio.Event()

    async def logs(**_: object) -> list[str]:
        nonlocal reading
        reading += 1
        await release.wait()
        return ["line"]

    monkeypatch.setattr(app.state.context.controllers, "logs", logs)
    path = f"/api/bots/{bot}/logs"
    calls = [asyncio.create_task(operator.get(path)) for _ in range(LongCall.LOGS.value)]

    async def all_read() -> bool:
        return reading == len(calls)

    await eventually(all_read)
    refused = await operator.get(path)
    assert "requests of this server that take long" in problem(refused, 429, "too-many-requests")
    assert refused.headers["retry-after"]
    assert (await operator.get(f"/api/bots/{bot}")).status_code == 200
    release.set()
    assert {(await call).status_code for call in calls} == {200}


@pytest.mark.parametrize("path", ["/api/bots", "/api/bots/bot-1/messages"])
async def test_a_body_that_does_not_arrive_in_time(
    app: FastAPI, admin_key: str, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    for name in ("BODY_SECONDS", "LARGE_BODY_SECONDS"):
        monkeypatch.setattr(auth_middleware, name, 0.1)
    head = HEAD.replace("/api/bots", path).format(key=admin_key)
    async with served(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f'{head}Content-Length: 100\r\n\r\n{{"name'.encode())
        answer = await reader.readuntil(b"}")
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"body-timeout"' in answer


@pytest.mark.parametrize("sent", ["", "GET /api/bots HT", "GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /", "POST "])
async def test_a_connection_without_a_complete_request_is_closed(
    app: FastAPI, admin_key: str, monkeypatch: pytest.MonkeyPatch, sent: str
) -> None:
    monkeypatch.setattr(serving, "CHECK_SECONDS", 0.1)
    async with served(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent.encode())
        async with asyncio.timeout(30):
            await reader.read()
        writer.close()


async def test_a_client_that_does_not_read_its_response_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "CHECK_SECONDS", 0.2)
    async with served(LARGE) as port:
        with socket.socket() as client:
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", port))
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

            async def is_reset() -> bool:
                return client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET

            await eventually(is_reset)
