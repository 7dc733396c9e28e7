"""The spool: numbered events of the bot, stored on the volume until the orchestrator has acknowledged them.

Events that carry content or an outcome are never dropped: when too many of them wait, the bot disconnects (`room.py`).
Events that only describe the present have a bound of their own. Beyond it the oldest of them are dropped, counted, and
reported by an event as soon as the orchestrator reads again.

All methods must be called on the thread of the event loop.
"""

import asyncio
import logging
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from bot_runtime.contract import MAX_EVENTS_PER_PAGE, PAGE_BYTES, Event, EventCursor, EventPage, EventType
from bot_runtime.storage import event_limits
from bot_runtime.storage.sqlite import EVENT_BYTES, get_meta, release_pages, set_meta, transaction

log = logging.getLogger(__name__)

HISTORY = 100
TRANSIENT_BYTES = 1 << 20
UNWRITTEN = 1000
"""Events that are held in memory while nothing can be written; only the connection causes any then."""
TRANSIENT = frozenset({EventType.PRESENCE_UPDATE, EventType.QR, EventType.CREDS_UPDATE, EventType.HEALTH_CHECK_FAILED})
"""Events that lose their value with time, and whose number nothing limits."""

_OLDEST_TRANSIENT = (
    "FROM events INDEXED BY events_other WHERE type <> 'message-upsert'"
    f" AND type IN ({', '.join(repr(kind.value) for kind in sorted(TRANSIENT))})"
)
_Row = tuple[int, str, bytes, str]
_NewEvent = tuple[EventType, dict[str, Any], datetime]


class Spool:
    """Numbered events with a cursor: `append` writes, `page` reads and acknowledges.

    Numbers start at 1 and continue as long as the store exists; those of dropped events are missing. At most
    `transient_bytes` of the `TRANSIENT` events are stored. `failed` is called when an event could not be written.
    """

    def __init__(
        self,
        store: sqlite3.Connection,
        *,
        transient_bytes: int = TRANSIENT_BYTES,
        failed: Callable[[Exception], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._max_transient_bytes = transient_bytes
        self._failed = failed
        self._now = now
        self._unwritten: deque[_NewEvent] = deque()
        """Events that could not be written, and are not `TRANSIENT`."""
        self._changed = asyncio.Event()
        spool_id = get_meta(store, "spool_id")
        self.spool_id = str(spool_id or os.urandom(8).hex())
        if spool_id is None:
            set_meta(store, "spool_id", self.spool_id)
        self._acked = int(get_meta(store, "acked") or 0)
        self._dropped = int(get_meta(store, "dropped") or 0)
        self._reported = int(get_meta(store, "dropped_reported") or 0)
        self._last = self._bytes = self._transient_bytes = 0
        self._count()
        newest = store.execute(
            "SELECT seq, type, data, timestamp FROM events ORDER BY seq DESC LIMIT ?", (HISTORY,)
        ).fetchall()
        self.history = deque(map(_event, reversed(newest)), maxlen=HISTORY)

    def append(self, event_type: EventType, data: dict[str, Any]) -> None:
        """Record one event durably and wake all waiters.

        As part of a transaction it fails with it. Otherwise, an event that cannot be written is written by `flush`
        later, or dropped and counted if it is a `TRANSIENT` one.
        """
        event = (event_type, data, self._now())
        if self._store.in_transaction:
            self._write([event])
            return
        try:
            with transaction(self._store):
                self._write([*self._unwritten, event])
        except sqlite3.OperationalError as exc:
            self.rolled_back()
            self._postpone(event)
            self._failed(exc)
        else:
            self._unwritten.clear()

    def flush(self) -> None:
        """Write what could not be written before. Raises `sqlite3.OperationalError` when nothing can be written."""
        try:
            with transaction(self._store):
                self._write(self._unwritten)
                set_meta(self._store, "dropped", self._dropped)  # writes in any case: that is what the caller tests
        except sqlite3.OperationalError:
            self.rolled_back()
            raise
        self._unwritten.clear()

    def rolled_back(self) -> None:
        """A transaction in which events were appended was rolled back."""
        self._count()
        while self.history and self.history[-1].seq > self._last:
            self.history.pop()

    def cursor(self) -> EventCursor:
        """The cursor of the spool."""
        return EventCursor(spool_id=self.spool_id, last_seq=self._last, acked_seq=self._acked, dropped=self._dropped)

    @property
    def waiting_bytes(self) -> int:
        """The approximate size of the events that have not been acknowledged."""
        return self._bytes

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
        # Without items, everything up to the last number has been dropped: the reader must not wait for it.
        return EventPage(spool_id=self.spool_id, items=items, next=items[-1].seq if items else max(after, self._last))

    def after(self, seq: int, event_type: EventType) -> list[Event]:
        """Events of one type other than messages after a number, oldest first: unacknowledged, or in the history."""
        rows = self._store.execute(
            "SELECT seq, type, data, timestamp FROM events WHERE type <> 'message-upsert' AND type = ? AND seq > ?",
            (event_type.value, seq),
        )
        found = {event.seq: event for event in map(_event, rows)}
        found |= {event.seq: event for event in self.history if event.type is event_type and event.seq > seq}
        return [found[number] for number in sorted(found)]

    def shrink(self) -> None:
        """Return some of the space of acknowledged events to the volume."""
        try:
            release_pages(self._store)
        except sqlite3.OperationalError as exc:  # a full disk: later
            log.debug("the store could not be made smaller: %s", exc)

    def _write(self, events: Iterable[_NewEvent]) -> None:
        for event_type, data, timestamp in events:
            data, encoded = event_limits.encode(data)
            row = (event_type.value, encoded, timestamp.isoformat())
            seq = self._store.execute("INSERT INTO events (type, data, timestamp) VALUES (?, ?, ?)", row).lastrowid
            assert seq is not None  # noqa: S101 - a row was inserted
            self._last = seq
            self._grow(event_type.value, EVENT_BYTES + len(encoded))
            self.history.append(Event(seq=seq, type=event_type, data=data, timestamp=timestamp))
        if self._transient_bytes > self._max_transient_bytes:
            self._drop_transient()
        self._changed.set()

    def _postpone(self, event: _NewEvent) -> None:
        if event[0] not in TRANSIENT:
            self._unwritten.append(event)
            if len(self._unwritten) <= UNWRITTEN:
                return
            event = self._unwritten.popleft()
        log.error("an event (%s) was dropped, because it cannot be written", event[0])
        self._dropped += 1

    def _count(self) -> None:
        self._bytes = self._transient_bytes = 0
        for kind, size in self._store.execute(
            f"SELECT type, count(*) * {EVENT_BYTES} + sum(length(data)) FROM events GROUP BY type"  # noqa: S608 - constant
        ):
            self._grow(kind, size)
        numbered = self._store.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
        self._last = int(numbered[0]) if numbered else 0

    def _grow(self, kind: str, size: int) -> None:
        self._bytes += size
        if kind in TRANSIENT:
            self._transient_bytes += size

    def _acknowledge(self, seq: int) -> None:
        if seq <= self._acked:
            return
        try:
            with transaction(self._store):
                if seq > self._last:
                    # The orchestrator has seen numbers that this file lost in a power cut: never reuse them.
                    row = (seq, "", "", "")
                    self._store.execute("INSERT INTO events (seq, type, data, timestamp) VALUES (?, ?, ?, ?)", row)
                deleted = self._store.execute(
                    "DELETE FROM events WHERE seq <= ? RETURNING type, length(data)", (seq,)
                ).fetchall()
                set_meta(self._store, "acked", seq)
        except sqlite3.OperationalError as exc:  # they can be read nevertheless, and are deleted later
            self._failed(exc)
            return
        self._acked, self._last = seq, max(self._last, seq)
        for kind, size in deleted:
            if kind:
                self._grow(kind, -EVENT_BYTES - size)
        self._report_dropped()

    def _drop_transient(self) -> None:
        """Drop the oldest, an eighth of what is allowed at once."""
        surplus = self._transient_bytes - self._max_transient_bytes * 7 // 8
        dropped = freed = last = 0
        for seq, size in self._store.execute(
            f"SELECT seq, length(data) {_OLDEST_TRANSIENT} AND seq < ? ORDER BY seq", (self._last,)
        ):
            dropped, freed, last = dropped + 1, freed + EVENT_BYTES + size, seq
            if freed >= surplus:
                break
        self._store.execute(f"DELETE {_OLDEST_TRANSIENT} AND seq <= ?", (last,))
        set_meta(self._store, "dropped", self._dropped + dropped)
        self._dropped += dropped
        self._grow(EventType.PRESENCE_UPDATE, -freed)

    def _report_dropped(self) -> None:
        """Report what has been dropped since the last report; only while the orchestrator reads, to report it once."""
        if (count := self._dropped - self._reported) <= 0:
            return
        try:
            with transaction(self._store):
                self.append(EventType.EVENTS_DROPPED, {"count": count, "total": self._dropped})
                set_meta(self._store, "dropped", self._dropped)
                set_meta(self._store, "dropped_reported", self._dropped)
        except sqlite3.OperationalError as exc:
            self.rolled_back()
            self._failed(exc)
        else:
            self._reported = self._dropped

    def _select(self, after: int, limit: int) -> list[Event]:
        """At most `limit` events, fewer if they are large: strangers decide how long messages are."""
        rows: Iterable[_Row] = self._store.execute(
            "SELECT seq, type, data, timestamp FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
        )
        found, size = [], 0
        for row in rows:
            event = _event(row)
            if len(row[2]) > event_limits.MAX_DATA_BYTES:  # of an earlier version
                event = msgspec.structs.replace(event, data=event_limits.encode(event.data)[0])
            found.append(event)
            size += EVENT_BYTES + min(len(row[2]), event_limits.MAX_DATA_BYTES)
            if size > PAGE_BYTES:
                break
        return found


def _event(row: _Row) -> Event:
    seq, event_type, data, timestamp = row
    return Event(
        seq=seq,
        type=EventType(event_type),
        data=msgspec.json.decode(data),
        timestamp=datetime.fromisoformat(timestamp),
    )
