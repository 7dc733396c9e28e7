"""Which connections are ended because their client does not continue."""

import asyncio
from ipaddress import IPv4Network
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from orchestrator.serving import MIN_READ_BYTES, HttpProtocol, protocol

LARGE = 10 * MIN_READ_BYTES


class FakeTransport:
    """A connection to a client whose reading the test determines."""

    def __init__(self) -> None:
        self.unread_bytes = 0
        self.ended = ""

    def get_write_buffer_size(self) -> int:
        return self.unread_bytes

    def get_extra_info(self, name: str) -> Any:
        return self if name == "socket" else None

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 1

    getpeername = getsockname

    def setsockopt(self, *_: object) -> None: ...

    def abort(self) -> None:
        self.ended = "aborted"

    def close(self) -> None:
        self.ended = "closed"


class Request:
    """A request, and whether its response was written."""

    def __init__(self, *, complete: bool) -> None:
        self.response_complete = complete


async def application(_scope: object, _receive: object, _send: object) -> None: ...


class Connection:
    """A connection that is checked when the test says so."""

    def __init__(self) -> None:
        self.transport = FakeTransport()
        kind = protocol(IPv4Network("10.213.0.0/16"))
        config = uvicorn.Config(application, log_config=None, lifespan="off", interface="asgi3")
        self.protocol: HttpProtocol = kind(config=config, server_state=ServerState(), app_state={})
        self.protocol.connection_made(cast("asyncio.Transport", self.transport))

    def check(self, *, unread_bytes: int = 0, request: Request | None = None) -> str:
        """The next check; how the connection was ended, if it was."""
        self.transport.unread_bytes = unread_bytes
        self.protocol.cycle = cast("Any", request)
        self.protocol.check_client()
        return self.transport.ended


@pytest.fixture
async def connection() -> Connection:
    return Connection()


async def test_a_connection_without_a_request_is_closed_at_the_second_check(connection: Connection) -> None:
    assert connection.check() == ""
    assert connection.check() == "closed"


async def test_a_connection_that_is_idle_after_a_request_is_closed_at_the_second_check(connection: Connection) -> None:
    first, second = Request(complete=True), Request(complete=True)
    assert [connection.check(request=request) for request in (first, second)] == ["", ""]
    assert connection.check(request=second) == "closed"


async def test_a_request_that_is_being_handled_may_take_long(connection: Connection) -> None:
    request = Request(complete=False)
    assert [connection.check(request=request) for _ in range(5)] == [""] * 5
    request.response_complete = True
    assert connection.check(request=request) == ""
    assert connection.check(request=request) == "closed"


@pytest.mark.parametrize("complete", [True, False])
async def test_a_client_that_reads_nothing_is_disconnected(connection: Connection, complete: bool) -> None:
    request = Request(complete=complete)
    assert connection.check(unread_bytes=LARGE, request=request) == ""
    assert connection.check(unread_bytes=LARGE - MIN_READ_BYTES + 1, request=request) == "aborted"


async def test_a_client_that_reads_slowly_is_not(connection: Connection) -> None:
    request = Request(complete=True)
    for unread_bytes in range(LARGE, -1, -MIN_READ_BYTES):
        assert connection.check(unread_bytes=unread_bytes, request=request) == ""


async def test_a_client_that_reads_a_response_as_it_is_written_is_not(connection: Connection) -> None:
    request = Request(complete=False)
    for _ in range(5):
        assert connection.check(unread_bytes=LARGE, request=request) == ""
        connection.protocol.resume_writing()


async def test_a_lost_connection_is_not_checked_any_more(connection: Connection) -> None:
    connection.protocol.connection_lost(OSError())
    handle = connection.protocol.next_check
    assert handle is not None
    assert handle.cancelled()
