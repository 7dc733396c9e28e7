"""The client of a bot's endpoint against a bot that harms whoever calls it: the api serves those of all tenants."""

import asyncio
import gc
import gzip
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from orchestrator.clients.bot import RuntimeClient
from orchestrator.clients.bot_errors import ProtocolViolationError, RuntimeUnreachableError

TIMEOUT_SECONDS = 0.2
MAX_MEMORY_BYTES = 32 << 20

Call = Callable[[RuntimeClient], Awaitable[object]]
CALLS: dict[str, Call] = {
    "health": RuntimeClient.health,
    "qr": RuntimeClient.qr,
    "events": lambda client: client.events(spool=None, after=0, limit=200, wait_seconds=0),
}
OK = b"HTTP/1.1 200 OK\r\n"
DATA = b" " * 65536
CHUNK = b"%x\r\n%b\r\n" % (len(DATA), DATA)


@asynccontextmanager
async def bot(*pieces: bytes, endless: bytes = b"", pause_seconds: float = 0) -> AsyncIterator[RuntimeClient]:
    """A client of a bot that answers with `pieces`, then with `endless` again and again."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering = asyncio.current_task()
        assert answering is not None
        answers.append(answering)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                for piece in pieces:
                    writer.write(piece)
                while endless:
                    writer.write(endless)
                    await writer.drain()
                    await asyncio.sleep(pause_seconds)
                await reader.read()
        finally:
            writer.transport.abort()

    answers: list[asyncio.Task[None]] = []
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = RuntimeClient("127.0.0.1", "t", timeout_seconds=TIMEOUT_SECONDS, port=port)
        try:
            yield client
        finally:
            await client.close()
            await asyncio.wait_for(asyncio.gather(*answers), 20)


async def refused(client: RuntimeClient, call: Call) -> RuntimeUnreachableError:
    """The error of a call that ends in time and needs little memory."""
    tracemalloc.start()
    try:
        async with asyncio.timeout(20):
            with pytest.raises(RuntimeUnreachableError) as caught:
                await call(client)
        assert tracemalloc.get_traced_memory()[1] < MAX_MEMORY_BYTES
    finally:
        tracemalloc.stop()
    return caught.value


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("status", [b"200", b"500"])
async def test_an_endless_response_is_refused(call: Call, status: bytes) -> None:
    head = b"HTTP/1.1 %b -\r\nTransfer-Encoding: chunked\r\n\r\n" % status
    async with bot(head, endless=CHUNK) as client:
        await refused(client, call)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_response_is_not_decompressed(call: Call) -> None:
    bomb = gzip.compress(bytes(64 << 20), compresslevel=1)
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    async with bot(head, bomb) as client:
        await refused(client, call)


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"identity, gzip"])
async def test_a_content_encoding_is_a_violation(encoding: bytes) -> None:
    async with bot(OK + b"Content-Encoding: %b\r\nContent-Length: 2\r\n\r\n{}" % encoding) as client:
        assert isinstance(await refused(client, RuntimeClient.health), ProtocolViolationError)


@pytest.mark.parametrize(
    ("head", "endless"),
    [
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 1000),
        (OK + b"X: ", DATA),
        (OK, b"X: y\r\n" * 10_000),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 60_000 + b"\r\n \r\n"),
        (b"", DATA),
    ],
    ids=["informational responses", "a large header", "many headers", "chunk extensions", "not HTTP"],
)
async def test_what_is_not_a_body_is_limited_as_well(head: bytes, endless: bytes) -> None:
    async with bot(head, endless=endless) as client:
        assert isinstance(await refused(client, RuntimeClient.health), ProtocolViolationError)
        assert client.received_bytes < 1 << 20


@pytest.mark.parametrize("body", [b"x" * 5, b"x" * 200_000], ids=["too short", "too long"])
async def test_a_file_that_does_not_have_its_size_is_interrupted(body: bytes) -> None:
    head = OK + b"Content-Type: image/png\r\nContent-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n"
    received = bytearray()

    async def receive(client: RuntimeClient) -> None:
        async with client.media("m", timeout_seconds=TIMEOUT_SECONDS) as file:
            async for chunk in file.chunks:
                received.extend(chunk)

    async with bot(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)) as client:
        with pytest.raises(ProtocolViolationError):
            await receive(client)
    assert len(received) <= 10


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("head", "endless"),
    [
        (OK + b"Content-Length: 1000000\r\n\r\n", b" "),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    ],
    ids=["body", "chunks", "informational responses"],
)
async def test_a_slow_response_ends_in_time(call: Call, head: bytes, endless: bytes) -> None:
    async with bot(head, endless=endless, pause_seconds=TIMEOUT_SECONDS / 4) as client:
        await refused(client, call)


@pytest.mark.parametrize(
    "body", [b'{"code": "\xff"}', b'{"new": ' + b"[" * 100_000], ids=["not UTF-8", "nested too deeply"]
)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("status", [b"200", b"500"])
async def test_invalid_json_counts_as_no_answer(call: Call, status: bytes, body: bytes) -> None:
    async with bot(b"HTTP/1.1 %b -\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)) as client:
        await refused(client, call)


async def test_an_event_that_is_not_utf_8_holds_up_no_others() -> None:
    event = b'{"seq": 1, "type": "x", "data": {"a": "\xff"}, "timestamp": "2030-01-01T00:00:00Z"}'
    body = b'{"spoolId": "s", "items": [%b], "next": 1}' % event
    async with bot(OK + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)) as client:
        page = await client.events(spool=None, after=0, limit=200, wait_seconds=0)
    assert [event.seq for event in page.items] == [1]


@pytest.mark.parametrize(
    "head",
    [
        OK + b"Transfer-Encoding: chunked\r\nContent-Type: image/png\r\n\r\n0\r\n\r\n",
        OK + b"Content-Length: 0\r\n\r\n",
    ],
)
async def test_a_file_without_size_or_type_is_refused(head: bytes) -> None:
    async with bot(head) as client:
        with pytest.raises(RuntimeUnreachableError):
            async with client.media("m", timeout_seconds=TIMEOUT_SECONDS):
                pass


async def test_a_refused_response_is_not_left_to_the_garbage_collector() -> None:
    head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    async with bot(head, endless=CHUNK) as client:
        gc.collect()
        gc.disable()
        try:
            # Not by `refused`: pytest keeps the error with its traceback.
            with suppress(RuntimeUnreachableError):
                await client.health()
            for _ in range(20):  # until the generators of the response are closed
                await asyncio.sleep(0)
            left = [each for each in gc.get_objects() if isinstance(each, httpx.Response)]
        finally:
            gc.enable()
    assert left == []
