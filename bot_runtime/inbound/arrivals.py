"""From the journal to what the bot remembers: each arrival once, at whatever moment the process dies.

What is recorded about an arrival and how far the journal has been read are one transaction. So after a SIGKILL either
both are there or neither, and the next process goes on right behind what was recorded.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable

from bot_runtime.contract import EventType
from bot_runtime.storage.journal import Journal, Record, set_position
from bot_runtime.storage.spool import Spool
from bot_runtime.storage.sqlite import get_meta, set_meta, transaction
from bot_runtime.whatsapp.inbox import read
from bot_runtime.whatsapp.messages import Account, Arrival, Status

log = logging.getLogger(__name__)

AT_ONCE = 32
"""Arrivals of one transaction; between two of them the loop turns."""


TRIES = 3
_TRIED = "arrivals_tried"


class Arrivals:
    """Reads the journal, and hands every arrival to `take` in order.

    What a process before this one left is read one by one: if it is what that process died of, nothing else goes with
    it, and after `TRIES` processes it is left out.
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

    def take_in(self) -> None:
        """Record what there is, the first of it now and the rest as the loop turns."""
        if not self._closed and self._take_some():
            asyncio.get_running_loop().call_soon(self.take_in)

    def take_all(self) -> None:
        """Record all that there is and remove it from the volume: the session that it belongs to is gone."""
        while self._take_some():
            pass
        self._journal.skip()
        self._take_some()

    def close(self) -> None:
        """Leave what comes now to the next process."""
        self._closed = True

    def _take_some(self) -> bool:
        left_over = self._position.file < self._journal.first
        records, position = self._journal.read(self._position, 1 if left_over else AT_ONCE)
        if position == self._position:
            return False
        if records and self._starting:
            self._starting = False
            if self._tried() >= TRIES:
                log.error("an arrival is left out: %d processes have died of it", TRIES)
                self._spool.append(EventType.ERROR, {"code": "arrival-left-out", "message": "the bot died of it"})
                records = []
        try:
            with transaction(self._store):
                for record in records:
                    self._take_one(record)
                set_position(self._store, position)
        except sqlite3.OperationalError as error:  # a full disk: the connection must be looked after all the same
            log.error("%d arrivals could not be recorded: %s", len(records), error)  # noqa: TRY400
            self._spool.rolled_back()
        if position.file != self._position.file:
            self._journal.forget(position)
        self._position = position
        return True

    def _take_one(self, record: Record) -> None:
        arrival = read(record.code, record.payload)
        if arrival is None or isinstance(arrival, Status | Account):
            return
        try:
            self._take(arrival)
        except Exception:  # one arrival that cannot be handled must not keep the others waiting for ever
            log.exception("an arrival (%s) could not be taken in", type(arrival).__name__)

    def _tried(self) -> int:
        """How many processes have begun with this position before."""
        *position, tried = map(int, str(get_meta(self._store, _TRIED) or "0 0 0").split())
        tried = tried if (*position,) == self._position else 0
        try:
            set_meta(self._store, _TRIED, f"{self._position.file} {self._position.offset} {tried + 1}")
        except sqlite3.OperationalError as error:  # a full disk
            log.warning("a try could not be counted: %s", error)
        return tried
