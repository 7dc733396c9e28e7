"""Disconnects the bot while it has no room for what arrives, and connects it again when it has."""

import asyncio
import logging
from typing import Protocol

from bot_runtime.contract import ConnectionState
from bot_runtime.room import explain, hold
from bot_runtime.storage.spool import Spool

log = logging.getLogger(__name__)

CHECK_SECONDS = 5.0
CHECK_HELD_SECONDS = 1.0


class Holdable(Protocol):
    """The part of `WhatsAppConnection` that this needs."""

    def hold(self, state: ConnectionState, message: str) -> None: ...
    def resume(self) -> None: ...


class StorageGuard:
    """Checks every `CHECK_SECONDS`, from `start` to `close`. `held`: the reason why nothing has been connected."""

    def __init__(self, spool: Spool, connection: Holdable, *, held: ConnectionState | None) -> None:
        self._spool = spool
        self._connection = connection
        self._held = held
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

    def check(self) -> None:
        """Check once, and return free pages of the store to the volume."""
        self._spool.shrink()
        before, self._held = self._held, hold(self._held, spool_bytes=self._spool.waiting_bytes)
        if self._held is before:
            return
        if self._held is not None:
            self._connection.hold(self._held, explain(self._held))
        else:
            log.info("there is room again: connecting")
            self._connection.resume()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS if self._held is None else CHECK_HELD_SECONDS)
            try:
                self.check()
            except Exception:  # the next check may work
                log.exception("a check of the storage failed")
