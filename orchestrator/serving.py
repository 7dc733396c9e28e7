"""Runs an ASGI application under uvicorn inside a larger asyncio program, which keeps the signals to itself."""

import asyncio
import gc
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import uvicorn

from orchestrator.errors import BotdockError

SHUTDOWN_SECONDS = 5
TICK_SECONDS = 1.0
GC_THRESHOLD = 10_000
"""New objects until the collector looks at them."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Finish the requests under way and return from `serve`."""
        self.should_exit = True
        self._ending.set()

    async def main_loop(self) -> None:
        # uvicorn's own looks ten times a second whether it should end: a good part of what an idle controller costs.
        # Once a second is needed for the answers' date.
        while not await self.on_tick(0):
            try:
                async with asyncio.timeout(TICK_SECONDS):
                    await self._ending.wait()
            except TimeoutError:
                pass

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        # uvicorn would raise a caught SIGTERM again after its own shutdown and so cut off everybody else's.
        yield


async def serve(app: Any, *, host: str, port: int) -> None:
    """Serve until cancelled; requests under way get a few seconds. Raises BotdockError when the port cannot be had."""
    config = uvicorn.Config(
        app,
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
    # Accepted connections inherit it. asyncio sets it only for sockets that name their protocol, which this one does
    # not; without it every answer on a kept connection waits 40 ms for the client's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # What has been imported by now stays for good, so the garbage collector need not look through it again and again,
    # and nearly all that calls leave behind goes without the collector. With Python's own settings it took a sixth of
    # the CPU time of an idle controller.
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
