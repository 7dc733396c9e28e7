"""Records the arrivals of the journal, each exactly once, whenever the process is killed.

The records of an arrival and the position in the journal are committed in one transaction. After a SIGKILL either both
are stored or neither, and the next process continues right after the last recorded arrival.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable

from bot_runtime.contract import EventType
from bot_runtime.storage.journal import Journal, Position, Record, set_position
from bot_runtime.storage.spool import Spool
from bot_runtime.storage.sqlite import get_meta, set_meta, transaction
from bot_runtime.whatsapp.inbox import read
from bot_runtime.whatsapp.messages import Account, Arrival, ConnectionReport

log = logging.getLogger(__name__)

AT_ONCE = 32
"""Arrivals per transaction; the event loop runs between two of them."""
TRIES = 3
_TRIED = "arrivals_tried"


class Arrivals:
    """Reads the journal, and passes every arrival to `take` in order.

    Arrivals of an earlier process are read one by one, in case one of them is a poison message that crashed it: then no
    other arrival is affected, and after `TRIES` crashed processes it is skipped.
    """

    def __init__(
        self,
        journal: Journal,
        store: sqlite3.Connection,
        spool: Spool,
        take: Callable[[Arrival], None],
    ) -> None:
        self._journal = journal
        self._position = journal.start
        self._store = store
        self._spool = spool
        self._take = take
        self._starting = True
        self._closed = False

    @property
    def position(self) -> Position:
        """The position in the journal up to which arrivals are recorded."""
        return self._position

    def take_in(self) -> None:
        """Record all arrivals in the journal: the first now, the rest in later turns of the event loop."""
        if not self._closed and self._take_some():
            asyncio.get_running_loop().call_soon(self.take_in)

    def take_all(self) -> None:
        """Record all arrivals and remove them from the volume: their session is gone."""
        while self._take_some():
            pass
        self._journal.skip()
        self._take_some()

    def close(self) -> None:
        """Leave further arrivals to the next process."""
        self._closed = True

    def _take_some(self) -> bool:
        left_over = self._position.file < self._journal.first
        records, position = self._journal.read(self._position, 1 if left_over else AT_ONCE)
        if position == self._position:
            return False
        if records and self._starting:
            self._starting = False
            if self._tried() >= TRIES:
                log.error("skipping a poison message: it crashed %d processes", TRIES)
                self._spool.append(
                    EventType.ERROR,
                    {"code": "poison-message", "message": f"an arrival was skipped: it crashed {TRIES} processes"},
                )
                records = []
        try:
            with transaction(self._store):
                for record in records:
                    self._take_one(record)
                set_position(self._store, position)
        except sqlite3.OperationalError as exc:  # a full disk: the connection must be kept running nevertheless
            log.error("%d arrivals could not be recorded: %s", len(records), exc)  # noqa: TRY400
            self._spool.rolled_back()
        if position.file != self._position.file:
            self._journal.forget(position)
        self._position = position
        return True

    def _take_one(self, record: Record) -> None:
        arrival = read(record.code, record.payload)
        if arrival is None or isinstance(arrival, ConnectionReport | Account):
            return
        try:
            self._take(arrival)
        except Exception:  # one arrival that cannot be handled must not block the others
            log.exception("an arrival (%s) could not be recorded", type(arrival).__name__)

    def _tried(self) -> int:
        """How many earlier processes started at this position."""
        *position, tried = map(int, str(get_meta(self._store, _TRIED) or "0 0 0").split())
        tried = tried if (*position,) == self._position else 0
        try:
            set_meta(self._store, _TRIED, f"{self._position.file} {self._position.offset} {tried + 1}")
        except sqlite3.OperationalError as exc:  # a full disk
            log.warning("an attempt could not be counted: %s", exc)
        return tried
