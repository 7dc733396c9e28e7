"""The session as credentials: whose they are, and when they changed. Saving and restoring them belongs here, too."""

import asyncio
import logging
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from bot_runtime.contract import EventType
from bot_runtime.storage.spool import Spool
from bot_runtime.storage.sqlite import get_meta, set_meta
from bot_runtime.whatsapp.account import SessionUnreadableError, read_account
from bot_runtime.whatsapp.messages import Account

log = logging.getLogger(__name__)

EVENT_SECONDS = 300.0
"""An active session changes with every message: one event in five minutes says enough."""
GONE_SECONDS = 2.0


class Credentials:
    """The account of the session file and the `creds-update` events. `account` is None while nobody has paired."""

    def __init__(self, database: Path, store: sqlite3.Connection, spool: Spool, account: Account | None) -> None:
        self._database = database
        self._store = store
        self._spool = spool
        self._told = float(get_meta(store, "creds_told") or 0)
        self.account = account

    @property
    def phone_number(self) -> str | None:
        return self.account.number if self.account else None

    def paired(self, account: Account) -> None:
        """A phone has been paired just now."""
        self.account = account
        self._tell()

    def refresh(self) -> None:
        """Read again whose session it is: the name may have changed."""
        try:
            self.account = read_account(self._database) or self.account
        except SessionUnreadableError as error:  # being written: what was known before still holds
            log.info("the account's name could not be read: %s", error)

    def forget(self) -> None:
        """The phone has removed this device."""
        self.account = None

    async def wait_until_gone(self) -> None:
        """Wait up to two seconds for a logout to reach the file.

        whatsmeow tells of a logout before it has deleted the device: a new process must not find it still there.
        """
        deadline = asyncio.get_running_loop().time() + GONE_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            try:
                if read_account(self._database) is None:
                    return
            except SessionUnreadableError as error:
                log.info("the session is being written: %s", error)
            await asyncio.sleep(0.02)

    def updated_at(self) -> datetime | None:
        """When the session's keys last changed."""
        if self.account is None:
            return None
        try:
            return datetime.fromtimestamp(self._database.stat().st_mtime, UTC)
        except FileNotFoundError:
            return None

    def notice_change(self) -> None:
        """Tell that the session's keys have changed, at most once in five minutes."""
        changed = self.updated_at()
        if changed is not None and changed.timestamp() - self._told >= EVENT_SECONDS:
            self._tell()

    def _tell(self) -> None:
        self._told = datetime.now(UTC).timestamp()
        self._spool.append(EventType.CREDS_UPDATE, {"timestamp": int(self._told * 1000)})
        try:
            set_meta(self._store, "creds_told", str(self._told))
        except sqlite3.OperationalError as error:  # a full disk: after a restart it is told once more
            log.warning("when the credentials changed could not be kept: %s", error)
