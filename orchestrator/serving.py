"""Runs an ASGI application with uvicorn inside a larger asyncio program, which handles the signals itself."""

import asyncio
import gc
import socket
import struct
from collections.abc import Generator
from contextlib import contextmanager
from ipaddress import IPv4Network, ip_address
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from orchestrator.errors import BotdockError

SHUTDOWN_SECONDS = 5
TICK_SECONDS = 1.0
CHECK_SECONDS = 10.0
"""Between two checks of what a client does."""
MIN_READ_BYTES = 16 << 10
_BUSY = object()
_NO_LINGER = struct.pack("ii", 1, 0)
GC_THRESHOLD = 10_000
"""New objects until the garbage collector runs."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Finish running requests and return from `serve`."""
        self.should_exit = True
        self._ending.set()

    async def main_loop(self) -> None:
        # uvicorn's own loop polls ten times a second, a good part of an idle controller's CPU time. Once a second is
        # needed for the Date header.
        while not await self.on_tick(0):
            try:
                async with asyncio.timeout(TICK_SECONDS):
                    await self._ending.wait()
            except TimeoutError:
                pass

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        # uvicorn would re-raise a caught SIGTERM after its own shutdown and so cut off that of all others.
        yield


class HttpProtocol(H11Protocol):
    """HTTP that ends connections whose client does not continue.

    A client may be idle, or send a request's head, for at least CHECK_SECONDS, and has to read MIN_READ_BYTES of a
    response within that time. Otherwise connections and unread responses would take descriptors and memory for as long
    as a client likes. Bodies of requests are limited by the application.
    """

    closed_to: IPv4Network
    next_check: asyncio.TimerHandle | None = None
    _idle_after: object = _BUSY
    """The request after which the connection was idle at the last check; None: it had none yet."""
    _unread_bytes = 0
    """At the last check."""
    _drained = False
    """Most of a response was read since the last check."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.server is not None and ip_address(self.server[0]) in self.closed_to:
            transport.abort()
            return
        self.next_check = self.loop.call_later(CHECK_SECONDS, self.check_client)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.next_check is not None:
            self.next_check.cancel()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        self._drained = True
        super().resume_writing()

    def check_client(self) -> None:
        """End the connection if the client does not continue."""
        unread_bytes = self.transport.get_write_buffer_size()
        is_idle = not unread_bytes and (self.cycle is None or self.cycle.response_complete)
        idle_after = self.cycle if is_idle else _BUSY
        is_reading = self._drained or unread_bytes <= max(0, self._unread_bytes - MIN_READ_BYTES)
        if unread_bytes and self._unread_bytes and not is_reading:
            # The kernel as well would keep what was sent until the client reads it.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self.transport.abort()
        elif is_idle and idle_after is self._idle_after:
            self.transport.close()
        else:
            self._idle_after, self._unread_bytes, self._drained = idle_after, unread_bytes, False
            self.next_check = self.loop.call_later(CHECK_SECONDS, self.check_client)


def protocol(network: IPv4Network) -> type[HttpProtocol]:
    """The protocol, which also closes connections to this machine's addresses in a network as soon as they are made."""

    class OfNetwork(HttpProtocol):
        closed_to = network

    return OfNetwork


async def serve(app: Any, *, host: str, port: int, closed_to: str) -> None:
    """Serve until cancelled; running requests get a few seconds. Raises BotdockError if the port is unavailable.

    Clients that come through the IPv4 network `closed_to` are not served.
    """
    config = uvicorn.Config(
        app,
        http=protocol(IPv4Network(closed_to)),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    try:
        listener = socket.create_server((host, port), backlog=512)
    except OSError as exc:
        raise BotdockError(f"cannot listen on {host}:{port}: {exc.strerror}; choose another port") from exc
    # Accepted connections inherit it. asyncio sets it only for sockets with an explicit protocol, which this one lacks;
    # without it every response on a keep-alive connection waits 40 ms for the client's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Everything imported by now stays alive, so the garbage collector need not scan it, and reference counting frees
    # nearly everything else. With Python's defaults the collector took a sixth of an idle controller's CPU time.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    with listener:
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]), name=f"http-{port}")
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            server.end()
            await serving
            raise
