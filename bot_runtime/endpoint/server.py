"""A small HTTP/1.1 server: h11 reads and writes the protocol, asyncio the sockets.

uvicorn would cost each of hundreds of bots 4 MiB of memory and 50 ms at the start, for features that this endpoint does
not use. Bodies are read when the application asks for them, so large ones are never held in memory as a whole.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qsl

import h11

from bot_runtime.endpoint.admission import Admission

log = logging.getLogger(__name__)

REQUEST_SECONDS = 10.0
"""The time limit of a body that is read as a whole, and of each piece of a body that is read in pieces."""
BODY_SECONDS = 300.0
IDLE_SECONDS = 120.0
"""How long a connection may wait between two requests once a request on it was authorized."""
STRANGER_SECONDS = 5.0
"""How long any other connection may take to send the head of a request."""
SEND_SECONDS = 30.0
"""The time limit of a client for receiving one piece of a response."""
_READ_BYTES = 65536
_LINGER_SECONDS = 2.0


class RejectedError(Exception):
    """A request that cannot be read completely. It is answered with the status, then the connection is closed."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Body(Protocol):
    """The body of a request, which can be read once. Both methods raise `RejectedError`."""

    async def read(self, maximum: int) -> bytes:
        """The whole body; 413 when it is larger than `maximum`."""

    def pieces(self) -> AsyncIterator[bytes]:
        """The pieces in the order they arrive."""


class File(Protocol):
    """The file of a response."""

    size: int

    def read(self) -> bytes:
        """The next bytes, empty at the end."""

    def close(self) -> None:
        """Always called exactly once."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request: its head, and the body to be read."""

    method: str
    path: str
    query: Mapping[str, str]
    authorized: bool
    """Whether it carries the token."""
    size: int | None
    """The `Content-Length`, if there is one."""
    body: Body


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response: a JSON body, or a file with the headers that describe it."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    file: File | None = None


Application = Callable[[HttpRequest], Awaitable[HttpResponse]]


class HttpServer:
    """Serves an application on a listening socket until `close`.

    The socket itself stays open: after a restart in place its backlog still holds the clients that connected meanwhile.
    `authorize` decides about the `Authorization` header of a request; `reject` returns the body of the response to a
    request that could not be read.
    """

    def __init__(
        self, application: Application, *, authorize: Callable[[bytes], bool], reject: Callable[[int], bytes]
    ) -> None:
        self._application = application
        self._authorize = authorize
        self._reject = reject
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._admission: Admission[asyncio.Task[None]] = Admission()
        self._last_responses = False

    async def start(self, listener: socket.socket) -> None:
        """Start accepting connections."""
        self._server = await asyncio.start_server(self._accept, sock=listener.dup(), limit=_READ_BYTES)

    def announce_end(self) -> None:
        """Announce with every further response that its connection will be closed."""
        self._last_responses = True

    def close(self) -> None:
        """Stop accepting, and close all connections."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs this in a task
        self._connections.add(task)
        evicted = self._admission.open(task, _peer(writer))
        if evicted is not None:
            evicted.cancel()
        try:
            await self._serve(_HttpConnection(reader, writer), task)
        except (TimeoutError, ConnectionError, asyncio.CancelledError):
            pass  # the client is gone, silent or evicted, or the server is closing: the connection ends in any case
        finally:
            self._admission.close(task)
            self._connections.discard(task)
            writer.close()

    async def _serve(self, connection: "_HttpConnection", task: asyncio.Task[None]) -> None:
        while True:
            try:
                trusted = self._admission.is_trusted(task)
                seconds = IDLE_SECONDS if trusted else STRANGER_SECONDS
                request = await connection.next_request(seconds, self._authorize)
                if request is None:
                    return
                if request.authorized and not self._admission.trust(task):
                    return
                response = await self._application(request)
                close = self._last_responses or not connection.body_read
            except RejectedError as exc:
                response, close = HttpResponse(exc.status, self._reject(exc.status)), True
            await connection.write(response, close=close)
            if not connection.reusable():
                await connection.linger()
                return


class _HttpConnection:
    """One client: reads requests and writes responses, one after another. Also the body of the current request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=16384)

    @property
    def body_read(self) -> bool:
        """Whether the request has arrived completely."""
        return self._h11.their_state is not h11.SEND_BODY

    async def next_request(self, seconds: float, authorize: Callable[[bytes], bool]) -> HttpRequest | None:
        """The next request, whose head must arrive within `seconds`; None when the client has closed.

        Raises `RejectedError`, and TimeoutError after `seconds`.
        """
        async with asyncio.timeout(seconds):
            head = await self._next_event()
        if not isinstance(head, h11.Request):
            return None
        path, _, query = head.target.decode("ascii", "replace").partition("?")
        headers = dict(head.headers)
        size = headers.get(b"content-length")
        if size in (None, b"0") and b"transfer-encoding" not in headers:
            await self._next_event()  # a request without a body is complete
        return HttpRequest(
            method=head.method.decode("ascii"),
            path=path,
            query=dict(parse_qsl(query)),
            authorized=authorize(headers.get(b"authorization", b"")),
            size=int(size) if size is not None else None,
            body=self,
        )

    async def read(self, maximum: int) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                while piece := await self._piece():
                    body += piece
                    if len(body) > maximum:
                        raise RejectedError(413)
        except TimeoutError:
            raise RejectedError(408) from None
        return bytes(body)

    async def pieces(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        end = loop.time() + BODY_SECONDS
        try:
            while True:
                async with asyncio.timeout_at(min(end, loop.time() + REQUEST_SECONDS)):
                    piece = await self._piece()
                if not piece:
                    return
                yield piece
        except TimeoutError:
            raise RejectedError(408) from None

    async def _piece(self) -> bytes:
        if self._h11.their_state is not h11.SEND_BODY:
            return b""
        if self._h11.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[]))
        event = await self._next_event()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def _next_event(self) -> h11.Event | type[h11.PAUSED]:
        while True:
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as exc:
                raise RejectedError(exc.error_status_hint) from exc
            if not isinstance(event, type) or event is h11.PAUSED:
                return event
            self._h11.receive_data(await self._reader.read(_READ_BYTES))

    async def write(self, response: HttpResponse, *, close: bool) -> None:
        """Send a response. When a file fails midway the connection is closed, so that the client notices."""
        try:
            await self._write(response, close=close)
        finally:
            if response.file is not None:
                response.file.close()

    async def _write(self, response: HttpResponse, *, close: bool) -> None:
        size = response.file.size if response.file is not None else len(response.body)
        headers = [*response.headers]
        if response.status != 204:
            headers.append(("content-length", str(size)))
        if response.body:
            headers.append(("content-type", "application/json"))
        if close:
            headers.append(("connection", "close"))
        await self._send(h11.Response(status_code=response.status, headers=headers))
        if response.body:
            await self._send(h11.Data(data=response.body))
        elif response.file is not None:
            while data := response.file.read():
                await self._send(h11.Data(data=data))
        await self._send(h11.EndOfMessage())

    def reusable(self) -> bool:
        """Prepare for another request, if client and protocol allow one."""
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            return False
        self._h11.start_next_cycle()
        return True

    async def linger(self) -> None:
        """Read what the client is still sending: if closed at once, it could lose the response."""
        if self.body_read or self._h11.their_state is h11.ERROR:
            return
        self._writer.write_eof()
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while await self._reader.read(_READ_BYTES):
                    pass
        except (TimeoutError, ConnectionError):
            return

    async def _send(self, event: h11.Event) -> None:
        data = self._h11.send(event)
        if data:
            self._writer.write(data)
            async with asyncio.timeout(SEND_SECONDS):
                await self._writer.drain()


def _peer(writer: asyncio.StreamWriter) -> str:
    address = writer.get_extra_info("peername")
    return str(address[0]) if address else ""


def listen(port: int) -> socket.socket:
    """A listening socket on every address, including IPv6 where available."""
    listener = socket.create_server(
        ("", port), family=socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET,
        dualstack_ipv6=socket.has_dualstack_ipv6(), backlog=64,
    )  # fmt: skip
    # Accepted connections inherit it. asyncio sets it only for sockets that name their protocol, which this one does
    # not; without it every response on a keep-alive connection waits 40 ms for the client's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
