"""A proxy for Postgres that a test can interrupt."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class Line:
    """A proxy for Postgres that can stop forwarding data while its connections stay open."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._flows = asyncio.Event()
        self._flows.set()
        self._stranded: list[asyncio.Event] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._carriers: set[asyncio.Task[None]] = set()

    def freeze(self) -> None:
        self._flows.clear()

    def thaw(self) -> None:
        self._flows.set()

    def strand(self) -> None:
        """Stop forwarding on the present connections; new ones work."""
        self._flows.clear()
        self._stranded.append(self._flows)
        self._flows = asyncio.Event()
        self._flows.set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry a new connection."""
        self._carriers.add(asyncio.create_task(self._carry(reader, writer)))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, before = await asyncio.open_connection(*self._target)
        self._writers += [writer, before]
        flows = self._flows
        await asyncio.gather(self._copy(reader, before, flows), self._copy(behind, writer, flows))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event) -> None:
        while data := await reader.read(65_536):
            await flows.wait()
            writer.write(data)
        writer.close()

    async def cut(self) -> None:
        """Close all connections."""
        for flows in self._stranded:
            flows.set()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*self._carriers, return_exceptions=True)


@asynccontextmanager
async def line_to(url: str) -> AsyncIterator[tuple[Line, str]]:
    """A line, and the URL that leads over it."""
    parts = urlsplit(url)
    line = Line(parts.hostname or "", parts.port or 5432)
    server = await asyncio.start_server(line.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        try:
            yield line, parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}").geturl()
        finally:
            line.thaw()
            await line.cut()
