"""The small HTTP server."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from bot_runtime.http import Request, Response, Server, listen

MAX_BODY = 1000


async def echo(request: Request) -> Response:
    if request.path == "/empty":
        return Response(204)
    return Response(200, b"%s %s %d" % (request.method.encode(), request.path.encode(), len(request.body)))


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = Server(echo, max_body=MAX_BODY, reject=lambda status: b"rejected %d" % status)
    listener = listen(0)
    await server.start(listener)
    yield listener.getsockname()[1]
    server.close()
    listener.close()


async def raw(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_one_connection_serves_many_requests(port: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        for _ in range(3):
            assert (await client.get("/a?b=c")).text == "GET /a 0"
            assert (await client.post("/a", content=b"x" * MAX_BODY)).text == f"POST /a {MAX_BODY}"
            assert (await client.get("/empty")).status_code == 204
        connections = client._transport._pool.connections  # type: ignore[attr-defined]
        assert len(connections) == 1


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_that_is_too_large_is_refused(port: int, chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * MAX_BODY

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        answer = await client.post("/a", content=pieces() if chunked else b"x" * 3 * MAX_BODY)
    assert (answer.status_code, answer.text) == (413, "rejected 413")


@pytest.mark.parametrize(
    "data", [b"hello\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"x" * 99999]
)
async def test_what_is_no_http_is_refused_and_the_connection_closed(port: int, data: bytes) -> None:
    assert (await raw(port, data)).startswith(b"HTTP/1.1 4")


async def test_a_client_that_goes_away_disturbs_nobody(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
    await writer.drain()
    writer.transport.abort()
    assert b"GET / 0" in await raw(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")


async def test_a_client_may_wait_for_permission_to_send(port: int) -> None:
    request = b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
    answer = await raw(port, request + b"ab")
    assert answer.endswith(b"POST /a 2")
