"""Listens for what triggers tell: changes of bots (`NOTIFY botdock_bots`), new messages (`NOTIFY botdock_messages`)."""

import asyncio
import logging
from collections.abc import Callable

import psycopg

from orchestrator.db.models import CHANGES_CHANNEL, MESSAGES_CHANNEL
from orchestrator.reconcile.leader import connect
from orchestrator.settings import Settings

log = logging.getLogger(__name__)

RECONNECT_DELAY = 0.5


async def listen(
    settings: Settings,
    *,
    on_change: Callable[[str], None],
    on_message: Callable[[str], None],
    on_gap: Callable[[], None],
) -> None:
    """Call `on_change` with the id of each bot of this server whose row is written, until cancelled.

    `on_message` is called with the id of each bot that has a new message to send; `on_gap` is called after
    every (re)connection: what happened before it was not heard and has to be looked for.
    """
    mine = f"{settings.server_name}/"
    while True:
        try:
            async with await connect(settings) as connection:
                await connection.execute(f"LISTEN {CHANGES_CHANNEL}")
                await connection.execute(f"LISTEN {MESSAGES_CHANNEL}")
                on_gap()
                async for notification in connection.notifies():
                    if not notification.payload.startswith(mine):
                        continue
                    tell = on_message if notification.channel == MESSAGES_CHANNEL else on_change
                    tell(notification.payload.removeprefix(mine))
        except (psycopg.Error, OSError) as exc:
            log.warning("notifications of Postgres are interrupted: %s", type(exc).__name__)
        await asyncio.sleep(RECONNECT_DELAY)
