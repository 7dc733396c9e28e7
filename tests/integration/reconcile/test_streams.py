"""Reading many rows may be cancelled at any time, as when a controller stops or a caller hangs up."""

import asyncio
import gc

import pytest

from orchestrator.db import fleet
from orchestrator.db.models import Bot
from orchestrator.db.scope import Scope
from orchestrator.db.session import Database
from orchestrator.reconcile import status_store
from orchestrator.reconcile.status_store import StatusStore
from tests.integration.reconcile.conftest import SERVER, Site
from tests.support.leases import take_over


async def test_a_reader_that_is_cancelled_leaves_no_cursor_open(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_store, "BOTS_PER_CHUNK", 1)
    monkeypatch.setattr(fleet, "ROWS_PER_CHUNK", 1)
    for number in range(5):
        await site.create(f"bot-{number}")
    database = Database(site.settings())
    store = StatusStore(database, server=SERVER, epoch=await take_over(site.url, SERVER))
    reached = asyncio.Event()

    async def list_bots() -> None:
        async with database.session() as session:
            async for _ in fleet.chunks(session, Scope(None), Bot.id):
                reached.set()

    async def sweep() -> None:
        await store.read_bots(lambda _: reached.set())

    for read in (sweep, list_bots):
        for _ in range(5):
            reached.clear()
            reading = asyncio.create_task(read())
            await reached.wait()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            gc.collect()
    await database.close()
