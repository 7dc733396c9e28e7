"""The entry point for clients: an HTTPS proxy that terminates the tunnel and TLS itself.

After `CONNECT host:port` and TLS with the simulator's certificate, chat hosts speak WebSocket; all others speak HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
import struct

from whatsapp_simulator.server import web
from whatsapp_simulator.server.chat import ChatServer
from whatsapp_simulator.world.failures import FailureKind, FailureRegistry

_CONNECT = re.compile(rb"CONNECT ([^\s:]+):(\d+) HTTP/1\.[01]\r\n")
_CHAT_HOSTS = {"web.whatsapp.com", "g.whatsapp.net"}
_HEAD_SECONDS = 20.0

logger = logging.getLogger(__name__)


class Proxy:
    """The proxy port."""

    def __init__(
        self, chat: ChatServer, media: web.Handler, context: ssl.SSLContext, failures: FailureRegistry
    ) -> None:
        self._chat = chat
        self._media = media
        self._context = context
        self._failures = failures
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the actual port (relevant if `port` is 0)."""
        self._server = await asyncio.start_server(self._connected, host, port, backlog=1024)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening."""
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
        if self._failures.get(None) is not None and self._failures.consume(None, FailureKind.REFUSE):
            _reset(writer)
            return
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _HEAD_SECONDS)
        match = _CONNECT.match(head)
        if match is None:
            writer.write(web.plain_response(405, "This is the simulator's HTTPS proxy. It accepts only CONNECT."))
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
    """Close a connection with a TCP reset, the closest that an open port gets to refusing it."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
