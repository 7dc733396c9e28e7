"""The way in: an HTTPS proxy that ends the tunnel itself, and TLS with the simulator's certificate.

`CONNECT host:port`, TLS, then by host: the chat hosts speak WebSocket, everything else gets an HTTP answer.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
import struct

from whatsapp_simulator.server import web
from whatsapp_simulator.server.chat import Chat
from whatsapp_simulator.world.failures import FailureBoard, FailureKind

_CONNECT = re.compile(rb"CONNECT ([^\s:]+):(\d+) HTTP/1\.[01]\r\n")
_CHAT_HOSTS = {"web.whatsapp.com", "g.whatsapp.net"}
_HEAD_SECONDS = 20.0

logger = logging.getLogger(__name__)


class Proxy:
    """The proxy port."""

    def __init__(self, chat: Chat, media: web.Handler, context: ssl.SSLContext, failures: FailureBoard) -> None:
        self._chat = chat
        self._media = media
        self._context = context
        self._failures = failures
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which differs from the one given when that was 0."""
        self._server = await asyncio.start_server(self._connected, host, port, backlog=1024)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and break off what is connected."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._tunnel(reader, writer)
        except (ConnectionError, ssl.SSLError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            logger.debug("a connection ended early", exc_info=True)
        finally:
            writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._failures.own(None) is not None and self._failures.strike(None, FailureKind.REFUSE):
            _reset(writer)
            return
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _HEAD_SECONDS)
        match = _CONNECT.match(head)
        if match is None:
            writer.write(web.plain_answer(405, "This is the simulator's HTTPS proxy: it takes CONNECT only."))
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.start_tls(self._context, ssl_handshake_timeout=_HEAD_SECONDS)
        host = match[1].decode().lower()
        if host in _CHAT_HOSTS:
            await self._chat.serve(reader, writer)
        else:
            await web.serve(host, self._media, reader, writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a TCP reset, which is as near to refusing it as an open port comes."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
