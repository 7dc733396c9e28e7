"""Long-polls the events of one bot and passes pages on to be stored, at a pace that no bot can exceed."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from bot_runtime.contract import EventPage, EventType
from orchestrator.clients.bot import RuntimeClient
from orchestrator.clients.bot_errors import ProtocolViolationError, RuntimeCallError, RuntimeUnreachableError
from orchestrator.reconcile.pace import Pace

log = logging.getLogger(__name__)

EVENT_WAIT_SECONDS = 58.0
EVENT_LIMIT = 200
RETRY_DELAY_SECONDS = 1.0
MAX_RETRY_DELAY_SECONDS = 60.0
WAITED_SECONDS = 1.0
"""An empty page after this time is one that the bot waited for an event with."""

_CONNECTION_EVENTS = {
    EventType.CONNECTION_UPDATE,
    EventType.CONNECTED,
    EventType.LOGOUT,
    EventType.QR,
    EventType.RECONNECT_FAILED,
    EventType.CREDS_UPDATE,
}


class EventSink(Protocol):
    """Receives the pages of one bot."""

    async def take(self, page: EventPage) -> str:
        """Store a page; returns what was refused of it. Raises when that failed; the page is fetched again then."""

    def violated(self, message: str) -> None:
        """The bot sent what the contract does not allow."""


class EventReader:
    """The cursor of one bot's events. `connection_changed` is called for events about its connection."""

    def __init__(
        self,
        bot_id: str,
        sink: EventSink,
        *,
        spool: str | None,
        after: int,
        pace: Pace,
        connection_changed: Callable[[], None],
    ) -> None:
        self._bot_id = bot_id
        self._sink = sink
        self._pace = pace
        self._connection_changed = connection_changed
        self.spool = spool
        self.after = max(0, after)

    async def run(self, client: RuntimeClient) -> None:
        """Read until cancelled."""
        clock = asyncio.get_running_loop().time
        failure, delay = "", RETRY_DELAY_SECONDS
        while True:
            began, received = clock(), client.received_bytes
            try:
                page = await client.events(
                    spool=self.spool, after=self.after, limit=EVENT_LIMIT, wait_seconds=EVENT_WAIT_SECONDS
                )
                refused = ""
                if page.items or page.spool_id != self.spool:
                    refused = await self._sink.take(page)
            except (RuntimeCallError, ProtocolViolationError) as exc:
                # It answers, so that probes may report it as healthy, and nothing of what it does is stored.
                if isinstance(exc, ProtocolViolationError):
                    self._sink.violated(f"its events: {exc}")
                if str(exc) != failure:
                    failure = str(exc)
                    log.warning("the events of bot %s cannot be read, retrying: %s", self._bot_id, exc)
                await asyncio.sleep(delay)
                delay = min(2 * delay, MAX_RETRY_DELAY_SECONDS)
                continue
            except RuntimeUnreachableError as exc:
                log.debug("events of bot %s: %s", self._bot_id, exc)
                await asyncio.sleep(RETRY_DELAY_SECONDS)
                continue
            except Exception as exc:  # noqa: BLE001, RUF100 - Postgres is unavailable, or refused: the page stays in the spool
                log.warning("storing events of bot %s failed: %s", self._bot_id, type(exc).__name__)
                await asyncio.sleep(RETRY_DELAY_SECONDS)
                continue
            failure, delay = "", RETRY_DELAY_SECONDS
            violation = page.violation or refused
            if violation:
                self._sink.violated(violation)
            waited = clock() - began >= WAITED_SECONDS
            fruitful = not violation and (waited or (bool(page.items) and page.spool_id == self.spool))
            self.spool, self.after = page.spool_id, page.next
            if any(event.type in _CONNECTION_EVENTS for event in page.items):
                self._connection_changed()
            wait_seconds = self._pace.wait_seconds(
                fruitful=fruitful,
                events=len(page.items),
                size=client.received_bytes - received,
                now=clock(),
            )
            if wait_seconds:
                await asyncio.sleep(wait_seconds)
