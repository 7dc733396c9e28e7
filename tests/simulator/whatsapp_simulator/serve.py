"""Run a simulator and its control API in one event loop until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from whatsapp_simulator.control import app
from whatsapp_simulator.simulator import Simulator
from whatsapp_simulator.tokens import Tokens
from whatsapp_simulator.world.store import StoreError

#: How long calls that wait for a message hold up the end.
_GRACE_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Options:
    """Where to listen (port 0: any free one) and where to keep the state."""

    host: str
    proxy_port: int
    control_port: int
    state_file: Path | None


class _ControlServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `run`: uvicorn would let them end the process before the state is written."""
        yield


async def run(options: Options, tokens: Tokens) -> None:
    """Serve until SIGTERM or SIGINT. Once both ports are open, one line of JSON with them goes to standard output."""
    try:
        simulator = Simulator(tokens, options.state_file)
    except StoreError as error:
        raise RuntimeError(str(error)) from error
    proxy_port = await simulator.start(options.host, options.proxy_port)
    control = socket.create_server((options.host, options.control_port), backlog=1024)
    # asyncio sets this only on sockets it made itself; without it every answer comes 40 ms late.
    control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(
        app.create(simulator),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    print(json.dumps({"proxyPort": proxy_port, "controlPort": control.getsockname()[1]}), flush=True)
    try:
        server = _ControlServer(config)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, setattr, server, "should_exit", True)
        await server.serve(sockets=[control])
    finally:
        await simulator.stop()
