"""A Postgres that hangs: queries fail in time, and it is used again as soon as it responds."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from orchestrator.db import session as sessions
from orchestrator.db.session import Database, is_unavailable
from orchestrator.settings import Settings
from tests.support.line import line_to


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
