"""The spool: numbered events of the bot, stored on the volume until the orchestrator has acknowledged them.

All methods must be called on the thread of the event loop.
"""

import asyncio
import logging
import os
import sqlite3
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from bot_runtime.contract import MAX_EVENTS_PER_PAGE, Event, EventCursor, EventPage, EventType
from bot_runtime.storage.sqlite import get_meta, set_meta, transaction

log = logging.getLogger(__name__)

HISTORY = 100
CAPACITY = 10_000

_Row = tuple[int, str, bytes, str]


class Spool:
    """Numbered events with a cursor: `append` writes, `page` reads and acknowledges.

    Numbers start at 1 and continue as long as the store exists. Beyond `capacity` unacknowledged events the oldest are
    dropped and counted.
    """

    def __init__(
        self,
        store: sqlite3.Connection,
        *,
        capacity: int = CAPACITY,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._capacity = capacity
        self._now = now
        self._changed = asyncio.Event()
        self.spool_id = str(get_meta(store, "spool_id") or os.urandom(8).hex())
        set_meta(store, "spool_id", self.spool_id)
        self._acked = int(get_meta(store, "acked") or 0)
        self._dropped = int(get_meta(store, "dropped") or 0)
        self._first, self._last, self.history = self._load()

    def append(self, event_type: EventType, data: dict[str, Any]) -> None:
        """Record one event durably and wake all waiters.

        On a full disk the event is dropped and counted, because the connection must be kept running nevertheless.
        """
        now = self._now()
        row = (event_type.value, msgspec.json.encode(data), now.isoformat())
        try:
            seq = self._store.execute("INSERT INTO events (type, data, timestamp) VALUES (?, ?, ?)", row).lastrowid
            self._last = seq or self._last
            self._drop_oldest()
        except sqlite3.OperationalError as exc:
            log.error("an event (%s) was dropped: %s", event_type, exc)  # noqa: TRY400 - the traceback has no more information
            self._dropped += 1
            return
        self.history.append(Event(seq=self._last, type=event_type, data=data, timestamp=now))
        self._changed.set()

    def rolled_back(self) -> None:
        """Count the events of a transaction that was rolled back as dropped."""
        before = self._last
        self._first, self._last, self.history = self._load()
        self._dropped += before - self._last

    def cursor(self) -> EventCursor:
        """The cursor of the spool."""
        return EventCursor(spool_id=self.spool_id, last_seq=self._last, acked_seq=self._acked, dropped=self._dropped)

    async def page(self, *, spool_id: str, after: int, limit: int, wait_seconds: float) -> EventPage:
        """Events after the cursor, see `EventPage`; waits up to `wait_seconds` while there are none."""
        if spool_id == self.spool_id:
            self._acknowledge(after)
        else:
            after = 0
        limit = min(limit, MAX_EVENTS_PER_PAGE)
        deadline = asyncio.get_running_loop().time() + wait_seconds
        while self._last <= after and (left := deadline - asyncio.get_running_loop().time()) > 0:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                break
        items = self._select(after, limit)
        return EventPage(spool_id=self.spool_id, items=items, next=items[-1].seq if items else after)

    def _load(self) -> tuple[int, int, deque[Event]]:
        first, newest = self._store.execute("SELECT min(seq), max(seq) FROM events").fetchone()
        numbered = self._store.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
        last: int = numbered[0] if numbered else 0
        return first or last + 1, last, deque(self._select((newest or 0) - HISTORY, HISTORY), maxlen=HISTORY)

    def after(self, seq: int, event_type: EventType) -> list[Event]:
        """Events of one type after a number, oldest first: unacknowledged ones, and those in the history."""
        rows = self._store.execute(
            "SELECT seq, type, data, timestamp FROM events WHERE type = ? AND seq > ?", (event_type.value, seq)
        )
        found = {event.seq: event for event in map(_event, rows)}
        found |= {event.seq: event for event in self.history if event.type is event_type and event.seq > seq}
        return [found[number] for number in sorted(found)]

    def _acknowledge(self, seq: int) -> None:
        if seq > self._last:
            # The orchestrator has seen numbers that this file lost in a power cut: never reuse them.
            self._store.execute("INSERT INTO events (seq, type, data, timestamp) VALUES (?, '', '', '')", (seq,))
            self._last = seq
        if seq <= self._acked:
            return
        with transaction(self._store):
            self._store.execute("DELETE FROM events WHERE seq <= ?", (seq,))
            set_meta(self._store, "acked", seq)
        self._acked = seq
        self._first = max(self._first, seq + 1)

    def _drop_oldest(self) -> None:
        surplus = self._last - self._first + 1 - self._capacity
        if surplus <= 0:
            return
        with transaction(self._store):
            self._store.execute("DELETE FROM events WHERE seq < ?", (self._first + surplus,))
            set_meta(self._store, "dropped", self._dropped + surplus)
        self._dropped += surplus
        self._first += surplus

    def _select(self, after: int, limit: int) -> list[Event]:
        rows: list[_Row] = self._store.execute(
            "SELECT seq, type, data, timestamp FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
        ).fetchall()
        return [_event(row) for row in rows]


def _event(row: _Row) -> Event:
    seq, event_type, data, timestamp = row
    return Event(
        seq=seq,
        type=EventType(event_type),
        data=msgspec.json.decode(data),
        timestamp=datetime.fromisoformat(timestamp),
    )
