"""Disconnects the bot while it has no room for what arrives, and connects it again when it has."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from typing import Protocol

from bot_runtime.contract import ConnectionState
from bot_runtime.errors import is_full
from bot_runtime.room import explain, hold
from bot_runtime.storage.journal import Journal
from bot_runtime.storage.spool import Spool
from bot_runtime.storage.volume import Space

log = logging.getLogger(__name__)

CHECK_SECONDS = 5.0
CHECK_HELD_SECONDS = 1.0


class Holdable(Protocol):
    """The part of `WhatsAppConnection` that this needs."""

    def hold(self, state: ConnectionState, message: str) -> None: ...
    def resume(self) -> None: ...


class StorageGuard:
    """Checks every `CHECK_SECONDS`, from `start` to `close`, and at once when something cannot be written.

    `held` is the reason why nothing has been connected yet; `take_in` records the arrivals in the journal, and reports
    to `write_failed` when that fails. `measure` returns the space that the bot has.
    """

    def __init__(
        self,
        spool: Spool,
        journal: Journal,
        connection: Holdable,
        *,
        held: ConnectionState | None,
        take_in: Callable[[], None],
        measure: Callable[[], Space],
    ) -> None:
        self._spool = spool
        self._journal = journal
        self._connection = connection
        self._held = held
        self._take_in = take_in
        self._measure = measure
        self._failure: Exception | None = None
        """Why something could not be written, until it can."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Check from now on."""
        if self._held is not None:
            self._connection.hold(self._held, explain(self._held))
        self._task = asyncio.create_task(self._run())

    def close(self) -> None:
        """Stop checking."""
        if self._task is not None:
            self._task.cancel()

    def write_failed(self, error: Exception) -> None:
        """Something could not be written: disconnect until it can."""
        if self._failure is None:
            log.warning("the volume cannot be written: %s", error)
        self._failure = error
        self._change(self._find())

    def check(self) -> None:
        """Check once, and return free pages of the store to the volume."""
        self._spool.shrink()
        if self._failure is not None and self._room() is not ConnectionState.DISK_FULL:
            self._write_again()
        self._change(self._find())

    def _find(self) -> ConnectionState | None:
        held = self._room()
        if self._failure is None or held is ConnectionState.DISK_FULL:
            return held
        return ConnectionState.DISK_FULL if is_full(self._failure) else ConnectionState.DISK_ERROR

    def _room(self) -> ConnectionState | None:
        space = self._measure()
        return hold(
            self._held,
            spool_bytes=self._spool.waiting_bytes,
            free_bytes=space.free_bytes,
            total_bytes=space.total_bytes,
        )

    def _write_again(self) -> None:
        self._failure = None
        try:
            self._spool.flush()
            self._journal.flush()
        except (OSError, sqlite3.OperationalError) as exc:
            self._failure = exc
        else:
            self._take_in()

    def _change(self, held: ConnectionState | None) -> None:
        before, self._held = self._held, held
        if held is before:
            return
        if held is not None:
            self._connection.hold(held, explain(held))
        else:
            log.info("there is room for what arrives: connecting")
            self._connection.resume()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS if self._held is None else CHECK_HELD_SECONDS)
            try:
                self.check()
            except Exception:  # the next check may work
                log.exception("a check of the storage failed")
