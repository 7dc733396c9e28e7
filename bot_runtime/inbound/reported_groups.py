"""What was last reported of each group, stored on the volume with the events that report it.

All methods must be called on the thread of the event loop.
"""

import hashlib
import logging
import sqlite3
from collections.abc import Collection, Iterable

import msgspec

from bot_runtime.contract import EventType, Group, GroupUpdate
from bot_runtime.inbound.group_changes import all_of, changes
from bot_runtime.storage.spool import Spool
from bot_runtime.storage.sqlite import get_meta, set_meta, transaction

log = logging.getLogger(__name__)

CRASHES = 2
"""After so many processes that ended while they read the list of all groups, it is not read."""
_TABLE = "CREATE TABLE IF NOT EXISTS reported_groups (id TEXT PRIMARY KEY, members INTEGER, digest BLOB, content BLOB)"
_LIST, _CRASHES = "groups_list", "groups_list_crashes"
_KNOWN, _REPORTED = 1, 2
"""The list of all groups was read from WhatsApp; it was reported as well."""


class ReportedGroups:
    """Compares groups with what was reported of them, and records `group-update` events for the differences.

    An event and what it makes known are stored in one transaction. On a full disk neither is, which is logged.
    """

    def __init__(self, store: sqlite3.Connection, spool: Spool) -> None:
        self._store = store
        self._spool = spool
        store.execute(_TABLE)

    @property
    def known(self) -> bool:
        """Whether these are all groups of the account, apart from later changes."""
        return self._list >= _KNOWN

    @property
    def listed(self) -> bool:
        """Whether the list of all groups was reported, so that the receiver knows which groups there are not."""
        return self._list == _REPORTED

    @property
    def _list(self) -> int:
        return int(get_meta(self._store, _LIST) or 0)

    def members(self) -> int:
        """How many members all groups have in total."""
        (number,) = self._store.execute("SELECT coalesce(sum(members), 0) FROM reported_groups").fetchone()
        return int(number)

    def has(self, group_id: str) -> bool:
        """Whether a group was reported and not left."""
        row = self._store.execute("SELECT 1 FROM reported_groups WHERE id = ?", (group_id,)).fetchone()
        return row is not None

    def ids(self) -> set[str]:
        """The groups that were reported and not left."""
        return {row[0] for row in self._store.execute("SELECT id FROM reported_groups")}

    def report(self, group: Group) -> bool:
        """Report what is new in a group. False if that could not be stored."""
        content = msgspec.json.encode(group)
        digest = hashlib.blake2b(content, digest_size=16).digest()
        before = self._store.execute("SELECT digest FROM reported_groups WHERE id = ?", (group.id,)).fetchone()
        known = before[0] if before is not None else None
        if known == digest:
            return True
        earlier = None if known is None else self._before(group.id)
        updates = all_of(group) if earlier is None else changes(earlier, group)
        return self._record(
            updates,
            "INSERT OR REPLACE INTO reported_groups VALUES (?, ?, ?, ?)",
            (group.id, len(group.members), digest, content),
        )

    def report_left(self, group_id: str) -> bool:
        """Report that the account is no longer in a group, if it was. False if that could not be stored."""
        if not self.has(group_id):
            return True
        return self._record([GroupUpdate(left=group_id)], "DELETE FROM reported_groups WHERE id = ?", (group_id,))

    def report_list(self, ids: Collection[str]) -> bool:
        """Report which groups there are, after each of them was reported. False if that could not be stored."""
        listed = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)"
        return self._record([GroupUpdate(groups=sorted(ids))], listed, (_LIST, _REPORTED))

    def missed(self, spool_id: str, after: int) -> bool:
        """Whether one who requests the events after a number lacks some that are no longer available.

        The database was restored or lost its cursor, or this volume lost its last events in a power cut.
        """
        cursor = self._spool.cursor()
        read = after if spool_id == cursor.spool_id else 0
        return not cursor.acked_seq <= read <= cursor.last_seq

    def forget(self, *, account: bool = False) -> bool:
        """Regard everything as not reported; with `account`, also regard the groups as those of another account.

        False if nothing was reported, or if that could not be stored.
        """
        stored = "SELECT 1 FROM reported_groups WHERE digest IS NOT NULL LIMIT 1"
        if not account and not self.listed and self._store.execute(stored).fetchone() is None:
            return False
        try:
            with transaction(self._store):
                self._store.execute("UPDATE reported_groups SET digest = NULL, content = NULL")
                set_meta(self._store, _LIST, 0 if account else min(self._list, _KNOWN))
        except sqlite3.OperationalError as exc:
            log.warning("the groups cannot be reported again: %s", exc)
            return False
        return True

    def begin_list(self) -> bool:
        """The list of all groups is going to be read. False if that has ended several processes in a row.

        The library needs about 1.4 KB for each member meanwhile, which may be more than the container has.
        """
        crashes = int(get_meta(self._store, _CRASHES) or 0)
        if crashes < CRASHES:
            self._count(crashes + 1)
            return True
        log.error("the list of all groups is not read: that ended %d processes", crashes)
        message = f"reading the list of all groups ended {crashes} processes: raise limits.memoryBytes of the bot"
        self._spool.append(EventType.ERROR, {"code": "groups-not-listed", "message": message})
        self._count(0)
        return False

    def end_list(self) -> None:
        """Reading the list has not ended the process."""
        self._count(0)

    def _count(self, crashes: int) -> None:
        try:
            set_meta(self._store, _CRASHES, crashes)
        except sqlite3.OperationalError as exc:  # a full disk
            log.warning("an attempt to list the groups could not be counted: %s", exc)

    def _before(self, group_id: str) -> Group | None:
        """What was last reported of a group; None if it is beyond the limits, which earlier versions lacked."""
        row = self._store.execute("SELECT content FROM reported_groups WHERE id = ?", (group_id,)).fetchone()
        try:
            return msgspec.json.decode(row[0], type=Group)
        except msgspec.ValidationError:
            return None

    def _record(self, updates: Iterable[GroupUpdate], statement: str, values: tuple[object, ...]) -> bool:
        before, data = self._spool.cursor(), [msgspec.to_builtins(update) for update in updates]
        try:
            with transaction(self._store):
                for item in data:
                    self._spool.append(EventType.GROUP_UPDATE, item)
                if self._spool.cursor().last_seq != before.last_seq + len(data):
                    raise sqlite3.OperationalError("the spool did not take the events")
                self._store.execute(statement, values)
        except sqlite3.OperationalError as exc:
            log.error("a change of a group was not reported: %s", exc)  # noqa: TRY400 - a full disk
            self._spool.rolled_back()
            return False
        return True
