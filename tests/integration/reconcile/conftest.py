"""Controllers in this process, on a real database, with bots on a machine in memory that really listen."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

import psycopg
import pytest

from orchestrator.controller.controller import Controller
from orchestrator.db.session import Database
from orchestrator.engine.memory.engine import MemoryEngine
from orchestrator.reconcile.metrics import Metrics
from orchestrator.reconcile.status_store import installation_id
from orchestrator.settings import Settings
from tests.integration.reconcile.live_host import LiveHost, Runtime

T = TypeVar("T")

DEADLINE_SECONDS = 60.0
SERVER = "server1"
QUICK: dict[str, Any] = {
    "probe_interval": 0.5,
    "probe_timeout": 1,
    "resync_interval": 1,
    "stop_timeout": 1,
    "lease_seconds": 5,
    "reconcile_workers": 4,
    "database_pool_size": 5,
}


async def eventually(look: Callable[[], Awaitable[T]], until: Callable[[T], object] = bool) -> T:
    """What `look` returns as soon as it satisfies `until`; fails with the last thing seen."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + DEADLINE_SECONDS
    while not until(seen := await look()):
        assert clock() < deadline, f"did not come within {DEADLINE_SECONDS:g} s; last seen: {seen!r}"
        await asyncio.sleep(0.02)
    return seen


class Acting:
    """One controller process."""

    def __init__(self, controller: Controller, database: Database, engine: MemoryEngine) -> None:
        self.controller = controller
        self.engine = engine
        self._database = database
        self._task = asyncio.create_task(controller.run())

    async def ready(self) -> None:
        """Wait until it acts and has adopted what runs."""
        await eventually(self._ready)

    async def standing_by(self) -> None:
        """Wait until it waits for its turn."""
        await eventually(self._standing_by)

    async def _ready(self) -> bool:
        return self.controller.ready

    async def _standing_by(self) -> bool:
        return self.controller.is_standby

    async def stop(self) -> None:
        """End the process; its bots run on."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self.engine.close()
        await self._database.close()


class Site:
    """A database, a machine, and any number of controllers."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.host = LiveHost()
        self.acting: list[Acting] = []

    def settings(self, **changes: Any) -> Settings:
        return Settings(database_url=self.url, server_name=SERVER, **{**QUICK, **changes})

    async def start(self, *, wait: bool = True, host: LiveHost | None = None, **changes: Any) -> Acting:
        """A controller on the site's machine or another one; by default returns when it acts."""
        settings = self.settings(**changes)
        database = Database(settings)
        owner = await installation_id(database)
        engine = MemoryEngine(owner=owner, server=SERVER, host=host or self.host)
        controller = Controller(settings=settings, database=database, engine=engine, owner=owner, metrics=Metrics())
        acting = Acting(controller, database, engine)
        self.acting.append(acting)
        if wait:
            await acting.ready()
        return acting

    async def orphans(self, name: str) -> list[str]:
        """The container of that name, while it is there."""
        return [found for found in self.host.containers if found == name]

    async def sql(self, statement: str, *values: Any) -> list[Any]:
        """Run one statement; its rows, or their values when there is one column."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            cursor = await connection.execute(statement, values)  # type: ignore[call-overload, unused-ignore]
            rows = await cursor.fetchall() if cursor.description else []
            return [row[0] if len(row) == 1 else row for row in rows]

    async def create(self, bot: str, **columns: Any) -> None:
        """A bot that is approved unless `columns` say otherwise."""
        values = {"approval_status": "approved", **columns}
        names = "".join(f", {name}" for name in values)
        marks = ", %s" * len(values)
        await self.sql(
            f"INSERT INTO bots (id, server_name, name{names}) VALUES (%s, %s, %s{marks})",
            bot,
            SERVER,
            bot,
            *[json.dumps(value) if isinstance(value, dict) else value for value in values.values()],
        )

    async def status(self, bot: str) -> dict[str, Any] | None:
        """The bot's row in `bot_status`."""
        rows = await self.sql(
            "SELECT to_jsonb(bot_status) FROM bot_status WHERE bot_key = (SELECT key FROM bots WHERE id = %s)", bot
        )
        return dict(rows[0]) if rows else None

    async def phase(self, bot: str, *phases: str) -> dict[str, Any]:
        """Wait for one of the phases; the status."""
        status = await eventually(lambda: self.status(bot), lambda row: row is not None and row["phase"] in phases)
        assert status is not None
        return status

    async def heartbeat(self, bot: str, at: datetime) -> None:
        """Wait until the bot's last heartbeat is the given one."""
        query = "SELECT last_heartbeat FROM bot_status WHERE bot_key = (SELECT key FROM bots WHERE id = %s)"
        await eventually(lambda: self.sql(query, bot), lambda rows: rows == [at])

    async def events(self, bot: str, kind: str) -> list[dict[str, Any]]:
        """The data of a bot's events of one type, oldest first."""
        return await self.sql(
            "SELECT data FROM bot_events "
            "WHERE bot_key = (SELECT key FROM bots WHERE id = %s) AND type = %s ORDER BY id",
            bot,
            kind,
        )

    async def seen(self, look: Callable[[], T], until: Callable[[T], object] = bool) -> T:
        """Wait for something on the machine."""

        async def now() -> T:
            return look()

        return await eventually(now, until)

    def runtime(self, bot: str) -> Runtime:
        """The process in a bot's container."""
        return self.host.runtimes[name(bot)]

    async def close(self) -> None:
        for acting in self.acting:
            await acting.stop()
        await self.host.close()


def name(bot: str) -> str:
    """Of container and volume."""
    return f"botdock-{SERVER}-{bot}"


@pytest.fixture
async def site(database_url: str) -> AsyncIterator[Site]:
    """The database, host and controllers of one server."""
    site = Site(database_url)
    try:
        yield site
    finally:
        await site.close()
