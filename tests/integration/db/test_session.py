"""A Postgres that hangs: queries fail in time, and it is used again as soon as it responds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from orchestrator.db import session as sessions
from orchestrator.db.session import Database, is_unavailable
from orchestrator.settings import Settings


class Line:
    """A proxy for Postgres that can stop forwarding data while its connections stay open."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: list[asyncio.StreamWriter] = []
        self._carriers: set[asyncio.Task[None]] = set()

    def freeze(self) -> None:
        self._flows.clear()

    def thaw(self) -> None:
        self._flows.set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry a new connection."""
        self._carriers.add(asyncio.create_task(self._carry(reader, writer)))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, before = await asyncio.open_connection(*self._target)
        self._writers += [writer, before]
        await asyncio.gather(self._copy(reader, before), self._copy(behind, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            await self._flows.wait()
            writer.write(data)
        writer.close()

    async def cut(self) -> None:
        """Close all connections."""
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


async def test_a_hanging_server_is_disconnected_and_used_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sessions, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(sessions, "CONNECT_TIMEOUT_SECONDS", 2)

    async def ask(database: Database) -> int:
        async with database.session() as session:
            return int((await session.execute(text("SELECT 42"))).scalar_one())

    async with line_to(database_url) as (line, url):
        database = Database(Settings(database_url=url))
        assert await ask(database) == 42
        line.freeze()
        with pytest.raises(DBAPIError) as caught:
            async with asyncio.timeout(30):
                await ask(database)
        assert is_unavailable(caught.value)
        assert "closing the connection" in caplog.text
        line.thaw()
        assert await ask(database) == 42
        await database.close()
