"""Notifications of Postgres that concern every controller."""

import asyncio

from orchestrator.controller.notifications import listen
from orchestrator.db.announce import announce
from orchestrator.db.session import Database
from orchestrator.settings import Settings


async def test_a_started_process_requests_a_sweep_from_every_controller(database_url: str) -> None:
    settings = Settings(database_url=database_url)
    database = Database(settings)
    gaps: asyncio.Queue[None] = asyncio.Queue()
    changed: list[str] = []
    listening = asyncio.create_task(
        listen(settings, on_change=changed.append, on_message=lambda _: None, on_gap=lambda: gaps.put_nowait(None))
    )
    try:
        async with asyncio.timeout(20):
            await gaps.get()  # it listens now
            await announce(database)
            await gaps.get()
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await database.close()
    assert changed == []
