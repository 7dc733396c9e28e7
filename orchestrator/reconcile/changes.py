"""Listens for changes of the bots' rows (`NOTIFY botdock_bots`, sent by a trigger on `bots`)."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import psycopg

from orchestrator.db.models import CHANGES_CHANNEL, EVERYTHING
from orchestrator.reconcile.leader import connect
from orchestrator.settings import Settings

log = logging.getLogger(__name__)

RECONNECT_DELAY = 0.5


async def listen(settings: Settings, *, on_change: Callable[[str], None], on_gap: Callable[[], None]) -> None:
    """Call `on_change` with the id of each bot of this server whose row is written, until cancelled.

    `on_gap` is called after every (re)connection, because what happened before it was not heard and has to be looked
    for, and when a process of the stack has started (`orchestrator/db/announce.py`).
    """
    mine = f"{settings.server_name}/"
    while True:
        try:
            async with await connect(settings) as connection:
                await connection.execute(f"LISTEN {CHANGES_CHANNEL}")
                on_gap()
                async for payload in _payloads(connection):
                    if payload == EVERYTHING:
                        on_gap()
                    elif payload.startswith(mine):
                        on_change(payload.removeprefix(mine))
        except (psycopg.Error, OSError) as exc:
            log.warning("notifications of Postgres are interrupted: %s", type(exc).__name__)
        await asyncio.sleep(RECONNECT_DELAY)


async def _payloads(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> AsyncIterator[str]:
    """What is notified on an idle connection, until it breaks (psycopg.OperationalError).

    `connection.notifies()` wakes up ten times a second to look whether it is being cancelled; that alone costs as much
    as probing dozens of bots.
    """
    pgconn = connection.pgconn
    readable = asyncio.Event()
    loop = asyncio.get_running_loop()
    descriptor = pgconn.socket
    loop.add_reader(descriptor, readable.set)
    try:
        while True:
            # Looked at before the first wait, too: some may have come along with an earlier answer.
            while (notification := pgconn.notifies()) is not None:
                yield notification.extra.decode()
            await readable.wait()
            readable.clear()
            pgconn.consume_input()
    finally:
        loop.remove_reader(descriptor)
