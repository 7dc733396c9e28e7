"""A proxy for the engine's socket: makes an engine unavailable without stopping it, or hang for some containers."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path


class SocketProxy:
    """Passes connections on `path` to the real socket while it is open."""

    def __init__(self, path: Path, target: str) -> None:
        self._path = path
        self._target = target
        self._server: asyncio.Server | None = None
        self._network_server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self._broken = asyncio.Event()
        self.hanging: set[str] = set()
        """Names or ids of containers: requests about them are neither passed on nor answered."""
        self.held = 0
        """How many such requests there were."""

    async def open(self) -> None:
        """Let connections in."""
        self._server = await asyncio.start_unix_server(self._accept, self._path)

    async def listen(self) -> str:
        """Let connections in over TCP as well; the address."""
        self._network_server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._network_server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def shut(self) -> None:
        """Refuse new connections and break those that stand."""
        if self._network_server is not None:
            self._network_server.close()
            self._network_server = None
        if self._server is not None:
            self._server.close()
            self._server = None
            self._path.unlink(missing_ok=True)
        await self.break_connections()

    async def break_connections(self) -> None:
        """Break the open connections, and keep accepting new ones."""
        self._broken.set()
        self._broken = asyncio.Event()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._connections)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        far_reader, far_writer = await asyncio.open_unix_connection(self._target)
        both = {writer, far_writer}
        self._writers |= both
        try:
            await asyncio.gather(_copy(reader, far_writer, self._admit), _copy(far_reader, writer))
        finally:
            self._writers -= both
            self._connections.discard(task)
            for each in both:
                each.close()

    async def _admit(self, data: bytes) -> None:
        """Return unless this begins a request about a container for which the engine hangs."""
        target = data.partition(b"\r\n")[0].decode(errors="replace")
        if any(name in target for name in self.hanging):
            self.held += 1
            await self._broken.wait()
            raise ConnectionAbortedError


async def _copy(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    admit: Callable[[bytes], Awaitable[None]] | None = None,
) -> None:
    try:
        while data := await reader.read(65536):
            if admit is not None:
                await admit(data)
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    # One side has ended: end the other, too, or its half would wait for ever.
    writer.close()


def engine_socket() -> str:
    """Path of the socket of the engine that the docker command uses."""
    return os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
