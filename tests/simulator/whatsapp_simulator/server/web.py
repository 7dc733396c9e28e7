"""HTTP for all hosts that are not chat servers: the media host, and 404 for the others."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

import h11

_READ_SIZE = 1 << 18
_IDLE_SECONDS = 60.0
_MAX_BODY = 128 << 20

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A complete request. target: path and query."""

    host: str
    method: str
    target: str
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A complete response."""

    status: int
    content_type: str
    body: bytes


#: Responds to a request; None means 404.
Handler = Callable[[HttpRequest], HttpResponse | None]


class _TooLargeError(Exception):
    """The request body is too large."""


def plain_response(status: int, text: str) -> bytes:
    """A serialized HTTP/1.1 response that closes the connection."""
    body = text.encode() + b"\n"
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: text/plain\r\n"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


async def serve(host: str, handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve the requests of one connection."""
    connection = h11.Connection(h11.SERVER)
    while True:
        try:
            request = await _request(host, connection, reader)
        except (h11.RemoteProtocolError, TimeoutError):
            return
        except _TooLargeError:
            writer.write(plain_response(413, f"The file is too large; the limit is {_MAX_BODY} bytes."))
            await writer.drain()
            return
        if request is None:
            return
        path = request.target.partition("?")[0]
        answer = handler(request)
        if answer is None:
            logger.info("%s %s%s: not found", request.method, host, path)
            body = json.dumps({"error": "not found", "host": host, "path": path}).encode()
            answer = HttpResponse(404, "application/json", body)
        headers = [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body)))]
        head = h11.Response(status_code=answer.status, headers=headers)
        for event in (head, h11.Data(data=answer.body), h11.EndOfMessage()):
            writer.write(connection.send(event) or b"")
        await writer.drain()
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return
        connection.start_next_cycle()


async def _request(host: str, connection: h11.Connection, reader: asyncio.StreamReader) -> HttpRequest | None:
    """The next request with its body; None if the client has disconnected."""
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = await asyncio.wait_for(reader.read(_READ_SIZE), _IDLE_SECONDS)
            connection.receive_data(data)
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > _MAX_BODY:
                raise _TooLargeError
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            method, target = head.method.decode("ascii", "replace"), head.target.decode("ascii", "replace")
            return HttpRequest(host, method, target, bytes(body))
        else:
            return None
