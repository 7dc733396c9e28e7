"""The credentials of the session: their account, and when they changed."""

import logging
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime

from bot_runtime.contract import EventType
from bot_runtime.storage.session import SessionDirectory
from bot_runtime.storage.spool import Spool
from bot_runtime.storage.sqlite import get_meta, set_meta
from bot_runtime.whatsapp.account import SessionUnreadableError, read_account
from bot_runtime.whatsapp.jid import HIDDEN, PERSON, Address
from bot_runtime.whatsapp.messages import Account

log = logging.getLogger(__name__)

EVENT_SECONDS = 300.0
"""An active session changes with every message: one event in five minutes is enough."""


class Credentials:
    """The account of the session file, and the `creds-update` events. `account` is None before pairing."""

    def __init__(
        self,
        directory: SessionDirectory,
        store: sqlite3.Connection,
        spool: Spool,
        account: Account | None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._now = now
        self._directory = directory
        self._store = store
        self._spool = spool
        self._reported_at = float(get_meta(store, "creds_told") or 0)
        self.account = account

    @property
    def phone_number(self) -> str | None:
        return self.account.number if self.account else None

    def own_address(self) -> Address | None:
        """The account by its phone number, None before pairing."""
        return Address(self.account.number, PERSON) if self.account else None

    def own_addresses(self) -> frozenset[Address]:
        """The account by its phone number and its hidden id, as far as they are known."""
        if self.account is None:
            return frozenset()
        users = ((self.account.number, PERSON), (self.account.lid, HIDDEN))
        return frozenset(Address(user, server) for user, server in users if user)

    def paired(self, account: Account) -> None:
        """A phone has just been paired."""
        self.account = account
        self._report()

    def refresh(self) -> None:
        """Read the account again: its name may have changed."""
        try:
            self.account = read_account(self._directory.database) or self.account
        except SessionUnreadableError as exc:  # being written: the old value remains valid
            log.info("the account's name could not be read: %s", exc)

    def end(self) -> None:
        """WhatsApp has ended the session: the next start pairs again."""
        self.account = None
        try:
            self._directory.ended.touch(0o600)
        except OSError as exc:
            log.warning("the end of the session could not be stored: %s", exc)

    def updated_at(self) -> datetime | None:
        """When the session's keys last changed."""
        if self.account is None:
            return None
        try:
            return datetime.fromtimestamp(self._directory.database.stat().st_mtime, UTC)
        except FileNotFoundError:
            return None

    def notice_change(self) -> None:
        """Record an event when the session's keys have changed, at most one in five minutes."""
        changed = self.updated_at()
        self._reported_at = min(self._reported_at, self._now())  # the clock may have been set back
        if changed is not None and changed.timestamp() - self._reported_at >= EVENT_SECONDS:
            self._report()

    def _report(self) -> None:
        self._reported_at = self._now()
        self._spool.append(EventType.CREDS_UPDATE, {"timestamp": int(self._reported_at * 1000)})
        try:
            set_meta(self._store, "creds_told", str(self._reported_at))
        except sqlite3.OperationalError as exc:  # a full disk: after a restart it is reported again
            log.warning("the time of the last creds-update event could not be stored: %s", exc)
