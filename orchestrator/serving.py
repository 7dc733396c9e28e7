"""Runs an ASGI application with uvicorn inside a larger asyncio program, which handles the signals itself."""

import asyncio
import gc
import socket
from collections.abc import Generator
from contextlib import contextmanager
from ipaddress import IPv4Network, ip_address
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from orchestrator.errors import BotdockError

SHUTDOWN_SECONDS = 5
TICK_SECONDS = 1.0
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


def _protocol(closed_to: IPv4Network) -> type[asyncio.Protocol]:
    """HTTP that closes connections to this machine's addresses in a network as soon as they are made."""

    class Protocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if self.server is not None and ip_address(self.server[0]) in closed_to:
                transport.abort()

    return Protocol


async def serve(app: Any, *, host: str, port: int, closed_to: str) -> None:
    """Serve until cancelled; running requests get a few seconds. Raises BotdockError if the port is unavailable.

    Clients that come through the IPv4 network `closed_to` are not served.
    """
    config = uvicorn.Config(
        app,
        http=_protocol(IPv4Network(closed_to)),
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
