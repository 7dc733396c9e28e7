"""The HTTP server of the endpoint."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from bot_runtime.endpoint.admission import MAX_STRANGERS, MAX_STRANGERS_PER_PEER, MAX_TRUSTED
from bot_runtime.endpoint.server import HttpRequest, HttpResponse, HttpServer, listen

MAX_BODY = 1000
LARGE = bytes(range(256)) * 16384


class Pieces:
    """A file of pieces that records whether it is closed."""

    def __init__(self, *pieces: bytes, size: int | None = None) -> None:
        self.size = sum(map(len, pieces)) if size is None else size
        self._pieces = iter(pieces)
        self.closed = 0
        self.was_closed = asyncio.Event()

    def read(self) -> bytes:
        return next(self._pieces, b"")

    def close(self) -> None:
        self.closed += 1
        self.was_closed.set()


class Application:
    """Echoes requests, counts bodies, and returns files."""

    def __init__(self) -> None:
        self.received = 0
        self.file = Pieces()

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/empty":
            return HttpResponse(204)
        if request.path == "/refused":
            return HttpResponse(401, b"who are you?")
        if request.path == "/count":
            async for piece in request.body.pieces():
                self.received += len(piece)
            return HttpResponse(200, b"%d of %d" % (self.received, request.size or 0))
        if request.path == "/file":
            return HttpResponse(200, headers=(("content-type", "image/png"),), file=self.file)
        body = await request.body.read(MAX_BODY)
        return HttpResponse(200, b"%s %s %d" % (request.method.encode(), request.path.encode(), len(body)))


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
async def port(application: Application) -> AsyncIterator[int]:
    server = HttpServer(
        application, authorize=lambda header: header == b"token", reject=lambda status: b"rejected %d" % status
    )
    listener = listen(0)
    await server.start(listener)
    yield listener.getsockname()[1]
    server.close()
    listener.close()


@pytest.fixture
async def client(port: int) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        yield client


async def raw(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    return answer


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


async def test_one_connection_serves_many_requests(client: httpx.AsyncClient, application: Application) -> None:
    for _ in range(3):
        assert (await client.get("/a?b=c")).text == "GET /a 0"
        assert (await client.post("/a")).text == "POST /a 0"
        assert (await client.post("/a", content=b"x" * MAX_BODY)).text == f"POST /a {MAX_BODY}"
        assert (await client.get("/empty")).status_code == 204
        assert (await client.put("/count", content=b"x" * 5000)).status_code == 200
        application.file = Pieces(b"abc")
        assert (await client.get("/file")).content == b"abc"
    connections = client._transport._pool.connections  # type: ignore[attr-defined]
    assert len(connections) == 1


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_that_is_too_large_is_refused(client: httpx.AsyncClient, chunked: bool) -> None:
    content = pieces(*[b"x" * MAX_BODY] * 3) if chunked else b"x" * 3 * MAX_BODY
    answer = await client.post("/a", content=content)
    assert (answer.status_code, answer.text) == (413, "rejected 413")


async def test_a_large_body_is_read_in_pieces(client: httpx.AsyncClient) -> None:
    assert (await client.put("/count", content=LARGE)).text == f"{len(LARGE)} of {len(LARGE)}"


async def test_a_client_refused_in_the_middle_of_a_large_body_gets_the_response(client: httpx.AsyncClient) -> None:
    for _ in range(3):
        answer = await client.put("/refused", content=LARGE)
        assert (answer.status_code, answer.text) == (401, "who are you?")


async def test_a_file_is_sent_with_its_headers_and_closed(client: httpx.AsyncClient, application: Application) -> None:
    application.file = Pieces(LARGE, b"end")
    answer = await client.get("/file")
    assert answer.content == LARGE + b"end"
    assert (answer.headers["content-type"], answer.headers["content-length"]) == ("image/png", str(len(LARGE) + 3))
    assert application.file.closed == 1


async def test_a_file_that_ends_early_is_an_incomplete_response(port: int, application: Application) -> None:
    application.file = Pieces(b"abc", size=10)
    with pytest.raises(httpx.RemoteProtocolError):
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.get(f"http://127.0.0.1:{port}/file")
    assert application.file.closed == 1


async def test_the_file_of_a_client_that_disconnects_is_closed(port: int, application: Application) -> None:
    application.file = Pieces(*[bytes(65536)] * 1000)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n")
    await writer.drain()
    writer.transport.abort()
    await asyncio.wait_for(application.file.was_closed.wait(), 10)


@pytest.mark.parametrize(
    "data", [b"hello\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"x" * 99999]
)
async def test_invalid_http_is_refused_and_the_connection_closed(port: int, data: bytes) -> None:
    assert (await raw(port, data)).startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize("path", [b"/a", b"/count"])
async def test_a_client_that_disconnects_does_not_affect_others(port: int, path: bytes) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc" % path)
    await writer.drain()
    writer.transport.abort()
    assert b"GET / 0" in await raw(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize("path", [b"/a", b"/count"])
async def test_a_body_that_stalls_times_out(port: int, path: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot_runtime.endpoint.server.REQUEST_SECONDS", 0.05)
    monkeypatch.setattr("bot_runtime.endpoint.server._LINGER_SECONDS", 0.05)
    answer = await raw(port, b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc" % path)
    assert answer.startswith(b"HTTP/1.1 408")


async def test_a_client_can_expect_a_100_continue(port: int) -> None:
    request = b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
    answer = await raw(port, request + b"ab")
    assert answer.endswith(b"POST /a 2")


async def test_a_refused_client_gets_no_100_continue(port: int) -> None:
    request = b"PUT /refused HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99\r\n\r\n"
    assert (await raw(port, request)).startswith(b"HTTP/1.1 401")


AUTHORIZED = b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: token\r\n\r\n"


async def test_idle_connections_never_keep_an_authorized_client_out(port: int) -> None:
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_TRUSTED + MAX_STRANGERS)]
    assert await raw(port, AUTHORIZED.replace(b"Host", b"Connection: close\r\nHost")) != b""
    closed = idle[:-MAX_STRANGERS_PER_PEER]
    for reader, _ in closed:
        assert await asyncio.wait_for(reader.read(), 10) == b"", "gave way to a newer connection"
    for _, writer in idle:
        writer.close()


async def test_connections_of_an_authorized_client_stay_open_whatever_others_do(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):
        writer.write(AUTHORIZED)
        assert b"200" in await asyncio.wait_for(reader.readline(), 10)
        await asyncio.wait_for(reader.readuntil(b"GET / 0"), 10)
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2 * MAX_STRANGERS)]
        for _, other in idle:
            other.close()
    writer.close()


async def test_a_client_that_is_not_authorized_must_send_its_request_soon(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot_runtime.endpoint.server.STRANGER_SECONDS", 0.05)
    assert await raw(port, b"GET / HTTP/1.1\r\nHost:") == b""
