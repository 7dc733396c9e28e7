"""The API while the endpoint of a bot answers with anything: a clear problem for that bot, and never a traceback."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from tests.integration.api.conftest import ADDRESS, Fleet, problem

NOW = "2026-01-02T03:04:05Z"


class HostileEndpoint:
    """Answers every request with the same bytes, then closes the connection."""

    def __init__(self) -> None:
        self.answer = b""
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def says(self, body: bytes, *, status: int = 200, headers: str = "") -> None:
        """Answer with this response."""
        self.answer = f"HTTP/1.1 {status} -\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self.answer)
            await writer.drain()
            writer.write_eof()
            await reader.read()
        writer.transport.abort()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["HostileEndpoint"]:
        async with await asyncio.start_server(self.serve, ADDRESS, 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield self


@pytest.fixture
async def hostile() -> AsyncIterator[HostileEndpoint]:
    async with HostileEndpoint().listening() as endpoint:
        yield endpoint


@pytest.fixture
def runtime_port(hostile: HostileEndpoint) -> int:
    return hostile.port


@pytest.fixture
async def hostile_bot(bot: str, fleet: Fleet) -> str:
    """The path of an approved bot whose container runs."""
    await fleet.sql("UPDATE bots SET approval_status = 'approved' WHERE id = %(id)s", id=bot)
    await fleet.observe(bot, phase="pairing", container_id="c0ffee", address=ADDRESS, healthy=True)
    return f"/api/bots/{bot}"


BODIES = {
    "too long a code": json.dumps({"code": "x" * 4000, "expiresAt": NOW}).encode(),
    "a time before year 1": json.dumps({"code": "x", "expiresAt": "0001-01-01T00:00:00+14:00"}).encode(),
    "not JSON": b"<html>",
    "deep": b"[" * 50_000,
    "large": b" " * 2_000_000,
}


@pytest.mark.parametrize("status", [200, 409, 500])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("form", ["json", "png"])
async def test_a_qr_code(
    operator: httpx.AsyncClient, hostile: HostileEndpoint, hostile_bot: str, body: bytes, status: int, form: str
) -> None:
    hostile.says(body, status=status)
    answer = await operator.get(f"{hostile_bot}/qr?format={form}")
    assert len(problem(answer, 503, "protocol-violation")) < 1000


async def test_a_pairing_code(operator: httpx.AsyncClient, hostile: HostileEndpoint, hostile_bot: str) -> None:
    hostile.says(json.dumps({"code": "<script>", "expiresAt": NOW}).encode())
    assert (await operator.post(f"{hostile_bot}/pair-code?wait=0")).status_code == 503


@pytest.mark.parametrize(
    "head",
    ["", "Content-Type: image/png\r\nContent-Encoding: gzip\r\n", "X: " + "y" * 200_000 + "\r\n"],
    ids=["no type", "compressed", "large head"],
)
async def test_a_file(operator: httpx.AsyncClient, hostile: HostileEndpoint, hostile_bot: str, head: str) -> None:
    hostile.says(b"data", headers=head)
    problem(await operator.get(f"{hostile_bot}/media/M"), 503, "protocol-violation")


@pytest.mark.parametrize("size", ["-1", "9" * 30, "1e3", "16777217"])
async def test_a_file_of_a_strange_size(
    operator: httpx.AsyncClient, hostile: HostileEndpoint, hostile_bot: str, size: str
) -> None:
    hostile.answer = f"HTTP/1.1 200 -\r\nContent-Type: image/png\r\nContent-Length: {size}\r\n\r\n".encode()
    assert (await operator.get(f"{hostile_bot}/media/M")).status_code in {413, 503}


@pytest.mark.parametrize("code", ["", "Not A Code", "x" * 5000])
async def test_the_code_of_an_error(
    operator: httpx.AsyncClient, hostile: HostileEndpoint, hostile_bot: str, code: str
) -> None:
    hostile.says(json.dumps({"code": code, "message": "\0\u202e" + "m" * 60_000}).encode(), status=404)
    problem(await operator.get(f"{hostile_bot}/media/M"), 503, "protocol-violation")
    hostile.says(json.dumps({"code": "no-media", "message": "\0\u202e" + "m" * 60_000}).encode(), status=404)
    detail = problem(await operator.get(f"{hostile_bot}/media/M"), 404, "no-media")
    assert detail.isprintable()
    assert len(detail) < 1000
