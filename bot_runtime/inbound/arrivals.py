"""Records the arrivals of the journal, each exactly once, whenever the process is killed.

The records of an arrival and the position in the journal are committed in one transaction. After a SIGKILL either both
are stored or neither, and the next process continues right after the last recorded arrival. What cannot be recorded,
because the disk is full, stays in the journal.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from typing import Protocol

from bot_runtime.contract import EventType
from bot_runtime.errors import is_damaged, is_unavailable
from bot_runtime.storage.journal import Journal, Record, set_position
from bot_runtime.storage.spool import Spool
from bot_runtime.storage.sqlite import get_meta, set_meta, transaction
from bot_runtime.whatsapp.inbox import read
from bot_runtime.whatsapp.messages import Account, Arrival, ConnectionReport

log = logging.getLogger(__name__)

AT_ONCE = 32
"""Arrivals per transaction; the event loop runs between two of them."""
TRIES = 3
_TRIED = "arrivals_tried"


class Taker(Protocol):
    """Records arrivals: `Receiver`."""

    def take(self, arrival: Arrival) -> None:
        """Record an arrival as part of the current transaction."""

    def finish(self, *, committed: bool) -> None:
        """The transaction has ended; if not `committed`, its arrivals will be taken again."""


class Arrivals:
    """Reads the journal, and passes every arrival to `taker` in order. `failed` is called when none can be recorded.

    Arrivals of an earlier process are read one by one, in case one of them is a poison message that crashed it: then no
    other arrival is affected, and after `TRIES` crashed processes it is skipped.
    """

    def __init__(
        self,
        journal: Journal,
        store: sqlite3.Connection,
        spool: Spool,
        taker: Taker,
        *,
        failed: Callable[[Exception], None],
    ) -> None:
        self._journal = journal
        self._store = store
        self._spool = spool
        self._taker = taker
        self._failed = failed
        self._starting = True
        self._poisoned = False
        self._closed = False
        self.position = journal.start
        """Up to where the journal is recorded."""

    def take_in(self) -> None:
        """Record all arrivals in the journal: the first now, the rest in later turns of the event loop."""
        if self._closed:
            return
        if self._journal.failure is not None:
            self._failed(self._journal.failure)
        if self._take_some():
            asyncio.get_running_loop().call_soon(self.take_in)

    def take_all(self) -> None:
        """Record all arrivals and remove them from the volume: their session is gone. Not if they cannot be stored."""
        while self._take_some():
            pass
        recorded = self._journal.read(self.position, 1)[1] == self.position
        if recorded and self._journal.failure is None:
            self._journal.skip()
            self._take_some()

    def close(self) -> None:
        """Leave further arrivals to the next process."""
        self._closed = True
        try:
            self._journal.flush()
        except OSError as exc:
            log.error("the last arrivals are lost, because they cannot be written: %s", exc)  # noqa: TRY400

    def _take_some(self) -> bool:
        left_over = self.position.file < self._journal.first
        records, position = self._journal.read(self.position, 1 if left_over else AT_ONCE)
        if position == self.position:
            return False
        if records and self._starting:
            self._starting = False
            self._poisoned = self._is_poison()
        try:
            with transaction(self._store):
                for record in [] if self._poisoned else records:
                    self._take_one(record)
                set_position(self._store, position)
        except sqlite3.OperationalError as exc:
            log.warning("%d arrivals cannot be recorded for now: %s", len(records), exc)
            self._spool.rolled_back()
            self._taker.finish(committed=False)
            self._failed(exc)
            return False
        self._poisoned = False
        before, self.position = self.position, position
        self._taker.finish(committed=True)
        if position.file != before.file:
            self._journal.forget(position)
        return True

    def _take_one(self, record: Record) -> None:
        arrival = read(record.code, record.payload)
        if arrival is None or isinstance(arrival, ConnectionReport | Account):
            return
        try:
            self._taker.take(arrival)
        except Exception as exc:  # one arrival that cannot be handled must not block the others
            if is_damaged(exc) or (isinstance(exc, sqlite3.Error) and is_unavailable(exc)):
                raise
            log.exception("an arrival (%s) could not be recorded", type(arrival).__name__)

    def _is_poison(self) -> bool:
        if self._tried() < TRIES:
            return False
        log.error("skipping a poison message: it crashed %d processes", TRIES)
        self._spool.append(
            EventType.ERROR,
            {"code": "poison-message", "message": f"an arrival was skipped: it crashed {TRIES} processes"},
        )
        return True

    def _tried(self) -> int:
        """How many earlier processes started at this position."""
        *position, tried = map(int, str(get_meta(self._store, _TRIED) or "0 0 0").split())
        tried = tried if (*position,) == self.position else 0
        try:
            set_meta(self._store, _TRIED, f"{self.position.file} {self.position.offset} {tried + 1}")
        except sqlite3.OperationalError as exc:  # a full disk
            log.warning("an attempt could not be counted: %s", exc)
        return tried
