"""A small HTTP/1.1 server: h11 reads and writes the protocol, asyncio the sockets.

uvicorn would cost each of hundreds of bots 4 MiB and 50 ms of their start, for features this endpoint has no use for.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

import h11

log = logging.getLogger(__name__)

REQUEST_SECONDS = 10.0
"""How long a request may take to arrive once it has begun."""
IDLE_SECONDS = 120.0
MAX_CONNECTIONS = 64
_READ_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Request:
    """One complete request."""

    method: str
    path: str
    query: Mapping[str, str]
    authorization: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; `body` is JSON."""

    status: int
    body: bytes = b""


class RejectedError(Exception):
    """A request that cannot be read to its end; answered with the status, then the connection is closed."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


Application = Callable[[Request], Awaitable[Response]]


class Server:
    """Serves an application on a listening socket until `close`.

    The socket itself stays open: after a restart in place its backlog still holds the clients that came meanwhile.
    """

    def __init__(self, application: Application, *, max_body: int, reject: Callable[[int], bytes]) -> None:
        self._application = application
        self._max_body = max_body
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
            await self._serve(_Connection(reader, writer, self._max_body))
        except (TimeoutError, ConnectionError, asyncio.CancelledError):
            pass  # the client went away or fell silent, or the server is closing: either way this connection is over
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, connection: "_Connection") -> None:
        while True:
            try:
                request = await connection.read()
            except RejectedError as rejected:
                await connection.write(Response(rejected.status, self._reject(rejected.status)), close=True)
                return
            if request is None:
                return
            response = await self._application(request)
            await connection.write(response, close=self._last_answers)
            if not connection.reusable():
                return


class _Connection:
    """One client: requests in, responses out, one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, max_body: int) -> None:
        self._reader = reader
        self._writer = writer
        self._max_body = max_body
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=16384)

    async def read(self) -> Request | None:
        """The next request; None when the client has closed. Raises `RejectedError`."""
        head: h11.Request | None = None
        body = bytearray()
        seconds = IDLE_SECONDS
        async with asyncio.timeout(seconds) as deadline:
            while True:
                event = await self._next_event()
                if isinstance(event, h11.Request):
                    head = event
                    deadline.reschedule(asyncio.get_running_loop().time() + REQUEST_SECONDS)
                    if self._h11.they_are_waiting_for_100_continue:
                        await self._send(h11.InformationalResponse(status_code=100, headers=[]))
                elif isinstance(event, h11.Data):
                    body += event.data
                    if len(body) > self._max_body:
                        raise RejectedError(413)
                elif isinstance(event, h11.EndOfMessage) and head is not None:
                    return _request(head, bytes(body))
                else:
                    return None

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
        headers = [("content-length", str(len(response.body)))] if response.status != 204 else []
        if response.body:
            headers.append(("content-type", "application/json"))
        if close:
            headers.append(("connection", "close"))
        await self._send(h11.Response(status_code=response.status, headers=headers))
        if response.body:
            await self._send(h11.Data(data=response.body))
        await self._send(h11.EndOfMessage())

    def reusable(self) -> bool:
        """Make ready for another request, if client and protocol allow one."""
        if self._h11.our_state is h11.MUST_CLOSE or self._h11.their_state is h11.MUST_CLOSE:
            return False
        self._h11.start_next_cycle()
        return True

    async def _send(self, event: h11.Event) -> None:
        data = self._h11.send(event)
        if data:
            self._writer.write(data)
            await self._writer.drain()


def _request(head: h11.Request, body: bytes) -> Request:
    path, _, query = head.target.decode("ascii", "replace").partition("?")
    authorization = next((value for name, value in head.headers if name == b"authorization"), b"")
    return Request(head.method.decode("ascii"), path, dict(parse_qsl(query)), authorization, body)


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
