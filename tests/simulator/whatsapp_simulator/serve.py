"""Run a simulator and its control API in one event loop until SIGTERM or SIGINT."""

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

#: How long pending long polls may delay shutdown.
_GRACE_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Options:
    """Listen addresses (port 0: any free port) and the state file."""

    host: str
    proxy_port: int
    control_port: int
    state_file: Path | None


class _ControlServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signal handling to `run`: uvicorn would end the process before the state is written."""
        yield


async def run(options: Options, tokens: Tokens) -> None:
    """Serve until SIGTERM or SIGINT. Once both ports are open, prints them to standard output as one line of JSON."""
    try:
        simulator = Simulator(tokens, options.state_file)
    except StoreError as exc:
        raise RuntimeError(str(exc)) from exc
    proxy_port = await simulator.start(options.host, options.proxy_port)
    control = socket.create_server((options.host, options.control_port), backlog=1024)
    # asyncio sets this only on sockets that it created; without it every response is delayed by 40 ms.
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
