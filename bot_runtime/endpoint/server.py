"""A small HTTP/1.1 server: h11 reads and writes the protocol, asyncio the sockets.

uvicorn would cost each of hundreds of bots 4 MiB and 50 ms of their start, for features this endpoint has no use for.
Bodies are read when the application asks for them, so large ones pass through without being held in memory.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qsl

import h11

log = logging.getLogger(__name__)

REQUEST_SECONDS = 10.0
"""How long a body that is read as a whole may take, and one piece of a body that is read in pieces."""
BODY_SECONDS = 300.0
IDLE_SECONDS = 120.0
SEND_SECONDS = 30.0
"""How long a client may take to receive one piece of an answer."""
MAX_CONNECTIONS = 64
_READ_BYTES = 65536
_LINGER_SECONDS = 2.0


class RejectedError(Exception):
    """A request that cannot be read to its end; answered with the status, then the connection is closed."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Body(Protocol):
    """The body of a request, to be read once. Both ways raise `RejectedError` when it does not arrive as it should."""

    async def read(self, maximum: int) -> bytes:
        """All of it; 413 when it is larger."""

    def pieces(self) -> AsyncIterator[bytes]:
        """One piece after the other, as they come."""


class File(Protocol):
    """A file to be answered with."""

    size: int

    def read(self) -> bytes:
        """The next bytes, none at the end."""

    def close(self) -> None:
        """Called once, whatever happened."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as far as its head tells."""

    method: str
    path: str
    query: Mapping[str, str]
    authorization: bytes
    size: int | None
    """The announced size of the body."""
    body: Body


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: a body of JSON, or a file with the headers that describe it."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    file: File | None = None


Application = Callable[[Request], Awaitable[Response]]


class Server:
    """Serves an application on a listening socket until `close`.

    The socket itself stays open: after a restart in place its backlog still holds the clients that came meanwhile.
    `reject` gives the body of the answer to a request that could not be read.
    """

    def __init__(self, application: Application, *, reject: Callable[[int], bytes]) -> None:
        self._application = application
        self._reject = reject
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._last_answers = False

    async def start(self, listener: socket.socket) -> None:
        """Begin to accept connections."""
        self._server = await asyncio.start_server(self._accept, sock=listener.dup(), limit=_READ_BYTES)

    def announce_end(self) -> None:
        """Tell clients with every further answer that their connection ends with it."""
        self._last_answers = True

    def close(self) -> None:
        """Stop accepting, and end the connections there are."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= MAX_CONNECTIONS:
            writer.close()
            return
        self._connections.add(task)
        try:
            await self._serve(_Connection(reader, writer))
        except (TimeoutError, ConnectionError, asyncio.CancelledError):
            pass  # the client went away or fell silent, or the server is closing: either way this connection is over
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, connection: "_Connection") -> None:
        while True:
            try:
                request = await connection.next_request()
                if request is None:
                    return
                response = await self._application(request)
                close = self._last_answers or not connection.body_read
            except RejectedError as rejected:
                response, close = Response(rejected.status, self._reject(rejected.status)), True
            await connection.write(response, close=close)
            if not connection.reusable():
                await connection.linger()
                return


class _Connection:
    """One client: requests in, responses out, one after the other. It is the body of the request being answered."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=16384)

    @property
    def body_read(self) -> bool:
        """Whether the request has arrived to its end."""
        return self._h11.their_state is not h11.SEND_BODY

    async def next_request(self) -> Request | None:
        """The head of the next request; None when the client has closed. Raises `RejectedError`."""
        async with asyncio.timeout(IDLE_SECONDS):
            head = await self._next_event()
        if not isinstance(head, h11.Request):
            return None
        path, _, query = head.target.decode("ascii", "replace").partition("?")
        headers = dict(head.headers)
        size = headers.get(b"content-length")
        if size in (None, b"0") and b"transfer-encoding" not in headers:
            await self._next_event()  # a request without a body has come to its end
        return Request(
            method=head.method.decode("ascii"),
            path=path,
            query=dict(parse_qsl(query)),
            authorization=headers.get(b"authorization", b""),
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
            except h11.RemoteProtocolError as error:
                raise RejectedError(error.error_status_hint) from error
            if not isinstance(event, type) or event is h11.PAUSED:
                return event
            self._h11.receive_data(await self._reader.read(_READ_BYTES))

    async def write(self, response: Response, *, close: bool) -> None:
        """Send an answer. A file that breaks off ends the connection, so that the client notices."""
        try:
            await self._write(response, close=close)
        finally:
            if response.file is not None:
                response.file.close()

    async def _write(self, response: Response, *, close: bool) -> None:
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
        """Make ready for another request, if client and protocol allow one."""
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            return False
        self._h11.start_next_cycle()
        return True

    async def linger(self) -> None:
        """Take what the client is still sending: closed at once, it would lose the answer together with the rest."""
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


def listen(port: int) -> socket.socket:
    """A listening socket on every address, IPv6 included where there is any."""
    listener = socket.create_server(
        ("", port), family=socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET,
        dualstack_ipv6=socket.has_dualstack_ipv6(), backlog=64,
    )  # fmt: skip
    # Accepted connections inherit it. asyncio sets it only for sockets that name their protocol, which this one does
    # not; without it every answer on a kept connection waits 40 ms for the client's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
