"""Clients that do not read their responses: one tenant's take no more memory, and no connections, from another's."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from orchestrator.api.unread_responses import UnreadResponses
from tests.integration.api.conftest import Fleet
from tests.integration.api.fake_runtime import listening

MIB = 1 << 20
MESSAGES, MESSAGE_BYTES = 130, 64_000
"""A response of 8 MB, twice what the kernel takes."""
READ_SECONDS = 2.0


@pytest.fixture(autouse=True)
def _small_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for one response to each server."""
    limited = partial(UnreadResponses, maximum=24 * MIB, read_seconds=READ_SECONDS)
    monkeypatch.setattr("orchestrator.api.app.UnreadResponses", limited)


@pytest.fixture
async def url(app: FastAPI) -> AsyncIterator[str]:
    """The address of the API on a real socket."""
    async with listening(app) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
async def path(fleet: Fleet, bot: str) -> str:
    """Where bot-1 has messages of 8 MB."""
    await fleet.sql(
        "INSERT INTO messages (server_name, bot_key, id, to_chat, content, request_hash) "
        "SELECT server_name, key, number, 'x', jsonb_build_object('text', repeat('x', %(size)s)), '' "
        "FROM bots, generate_series(1, %(count)s) AS number",
        size=MESSAGE_BYTES,
        count=MESSAGES,
    )
    return f"/api/bots/{bot}/messages?limit={MESSAGES}"


@asynccontextmanager
async def unread(url: str, path: str, key: str) -> AsyncIterator[asyncio.StreamReader]:
    """A connection on which the response to a request has begun to arrive."""
    address = httpx.URL(url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # else the kernel takes megabytes
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (address.host, address.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=1024)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {key}\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    try:
        yield reader
    finally:
        writer.transport.abort()


async def test_unread_responses_of_one_tenant_hold_up_no_other(
    url: str, path: str, fleet: Fleet, stranger: httpx.AsyncClient
) -> None:
    key, other = await fleet.key("viewer", "server1"), await fleet.key("viewer", "server2")
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:

        async def read(key: str, path: str = path) -> httpx.Response:
            return await client.get(path, headers={"X-Api-Key": key})

        async with AsyncExitStack() as stack:
            await stack.enter_async_context(unread(url, path, key))
            refused = await read(key)
            assert (refused.status_code, refused.json()["code"]) == (503, "busy")
            assert refused.headers["Retry-After"]
            assert (await read(key, path.replace(f"limit={MESSAGES}", "limit=1"))).status_code == 200, (
                "small ones do not count"
            )
            assert (await stranger.post("/api/bots", json={"id": "bot-1", "name": "Theirs"})).status_code == 201
            await fleet.sql(
                "INSERT INTO messages (server_name, bot_key, id, to_chat, content, request_hash) "
                "SELECT bots.server_name, key, 'of2-' || m.id, 'x', m.content, '' "
                "FROM bots, messages m WHERE bots.server_name = 'server2'"
            )
            assert len((await read(other)).content) > MESSAGES * MESSAGE_BYTES
        # Its client has closed the connection.
        answer = await when_not_busy(client, path, key)
        assert len(answer.json()["items"]) == MESSAGES


async def test_a_client_that_does_not_read_in_time_is_disconnected(url: str, path: str, fleet: Fleet) -> None:
    key = await fleet.key("viewer", "server1")
    async with unread(url, path, key), httpx.AsyncClient(base_url=url, trust_env=False) as client:
        await when_not_busy(client, path, key)


async def when_not_busy(client: httpx.AsyncClient, path: str, key: str) -> httpx.Response:
    """The response once it is no longer refused."""
    for _ in range(1000):
        answer = await client.get(path, headers={"X-Api-Key": key})
        if answer.status_code != 503:
            return answer
        await asyncio.sleep(0.02)
    raise TimeoutError


async def test_an_unread_response_holds_no_connection_to_postgres(
    app: FastAPI, url: str, path: str, fleet: Fleet
) -> None:
    key = await fleet.key("viewer", "server1")
    pool: Any = app.state.context.database.engine.pool
    async with unread(url, path, key):
        assert pool.checkedout() == 0
