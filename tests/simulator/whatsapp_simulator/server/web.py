"""Plain HTTP for the hosts that are no chat server. There is no media store, so everything is "not found"."""

from __future__ import annotations

import asyncio
import json
import logging
from http import HTTPStatus

import h11

_READ_SIZE = 65536
_IDLE_SECONDS = 60.0

logger = logging.getLogger(__name__)


def plain_answer(status: int, text: str) -> bytes:
    """A complete HTTP/1.1 response that closes the connection."""
    body = text.encode() + b"\n"
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: text/plain\r\n"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


async def serve(host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    connection = h11.Connection(h11.SERVER)
    while True:
        try:
            request = await _request(connection, reader)
        except (h11.RemoteProtocolError, TimeoutError):
            return
        if request is None:
            return
        target = request.target.decode("ascii", "replace").partition("?")[0]
        logger.info("%s %s%s: not found", request.method.decode("ascii", "replace"), host, target)
        body = json.dumps({"error": "not found", "host": host, "path": target}).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        for event in (h11.Response(status_code=404, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            writer.write(connection.send(event) or b"")
        await writer.drain()
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return
        connection.start_next_cycle()


async def _request(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    """The next request, its body read and dropped; None when the client is gone."""
    request = None
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = await asyncio.wait_for(reader.read(_READ_SIZE), _IDLE_SECONDS)
            connection.receive_data(data)
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.EndOfMessage):
            return request
        elif not isinstance(event, h11.Data):
            return None
