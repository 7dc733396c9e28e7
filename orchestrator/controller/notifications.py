"""Listens to notifications of Postgres: changed bots (`botdock_bots`) and new messages (`botdock_messages`)."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import psycopg

from orchestrator.db.models import CHANGES_CHANNEL, EVERYTHING, MESSAGES_CHANNEL
from orchestrator.db.session import connect
from orchestrator.settings import Settings

log = logging.getLogger(__name__)

RECONNECT_DELAY_SECONDS = 0.5


async def listen(
    settings: Settings,
    *,
    on_change: Callable[[str], None],
    on_message: Callable[[str], None],
    on_gap: Callable[[], None],
) -> None:
    """Call `on_change` with the id of each bot of this server whose row is written, until cancelled.

    `on_message` is called with the id of each bot that has a new message to send. `on_gap` is called after every
    (re)connection, because earlier notifications may have been missed, and when a process of the stack has started
    (`orchestrator/db/announce.py`).
    """
    mine = f"{settings.server_name}/"
    while True:
        try:
            async with await connect(settings) as connection:
                await connection.execute(f"LISTEN {CHANGES_CHANNEL}")
                await connection.execute(f"LISTEN {MESSAGES_CHANNEL}")
                on_gap()
                async for channel, payload in _notifications(connection):
                    if payload == EVERYTHING:
                        on_gap()
                    elif payload.startswith(mine):
                        callback = on_message if channel == MESSAGES_CHANNEL else on_change
                        callback(payload.removeprefix(mine))
        except (psycopg.Error, OSError) as exc:
            log.warning("lost the notification connection to Postgres: %s", type(exc).__name__)
        await asyncio.sleep(RECONNECT_DELAY_SECONDS)


async def _notifications(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> AsyncIterator[tuple[str, str]]:
    """Channel and payload of each notification on an idle connection, until it breaks (psycopg.OperationalError).

    `connection.notifies()` wakes up ten times a second to check for cancellation, which costs as much as probing dozens
    of bots.
    """
    pgconn = connection.pgconn
    readable = asyncio.Event()
    loop = asyncio.get_running_loop()
    descriptor = pgconn.socket
    loop.add_reader(descriptor, readable.set)
    try:
        while True:
            # Before the first wait, too: some may have arrived with an earlier response.
            while (notification := pgconn.notifies()) is not None:
                yield notification.relname.decode(), notification.extra.decode()
            await readable.wait()
            readable.clear()
            pgconn.consume_input()
    finally:
        loop.remove_reader(descriptor)
