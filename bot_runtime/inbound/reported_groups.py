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

_TABLE = "CREATE TABLE IF NOT EXISTS reported_groups (id TEXT PRIMARY KEY, digest BLOB, content BLOB)"
_LISTED = "groups_listed"


class ReportedGroups:
    """Compares groups with what was reported of them, and records `group-update` events for the differences.

    An event and what it makes known are stored in one transaction. On a full disk neither is, which is logged.
    """

    def __init__(self, store: sqlite3.Connection, spool: Spool) -> None:
        self._store = store
        self._spool = spool
        store.execute(_TABLE)

    @property
    def listed(self) -> bool:
        """Whether the list of all groups was reported, so that the receiver knows which groups there are not."""
        return bool(get_meta(self._store, _LISTED))

    def ids(self) -> set[str]:
        """The groups that were reported and not left."""
        return {row[0] for row in self._store.execute("SELECT id FROM reported_groups")}

    def report(self, group: Group) -> bool:
        """Report what is new in a group. False if that could not be stored."""
        content = msgspec.json.encode(group)
        digest = hashlib.blake2b(content, digest_size=16).digest()
        row = self._store.execute("SELECT digest FROM reported_groups WHERE id = ?", (group.id,)).fetchone()
        if row is not None and row[0] == digest:
            return True
        updates = all_of(group) if row is None else changes(self._before(group.id), group)
        return self._record(
            updates, "INSERT OR REPLACE INTO reported_groups VALUES (?, ?, ?)", (group.id, digest, content)
        )

    def report_left(self, group_id: str) -> bool:
        """Report that the account is no longer in a group, if it was. False if that could not be stored."""
        if self._store.execute("SELECT 1 FROM reported_groups WHERE id = ?", (group_id,)).fetchone() is None:
            return True
        return self._record([GroupUpdate(left=group_id)], "DELETE FROM reported_groups WHERE id = ?", (group_id,))

    def report_list(self, ids: Collection[str]) -> bool:
        """Report which groups there are, after each of them was reported. False if that could not be stored."""
        listed = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, 1)"
        return self._record([GroupUpdate(groups=sorted(ids))], listed, (_LISTED,))

    def missed(self, spool_id: str, after: int) -> bool:
        """Whether one who requests the events after a number lacks some that are no longer available.

        The database was restored or lost its cursor, or this volume lost its last events in a power cut.
        """
        cursor = self._spool.cursor()
        read = after if spool_id == cursor.spool_id else 0
        return not cursor.acked_seq <= read <= cursor.last_seq

    def forget(self) -> bool:
        """Regard everything as not reported. False if nothing was, or if that could not be stored."""
        if not self.listed and not self.ids():
            return False
        try:
            with transaction(self._store):
                self._store.execute("DELETE FROM reported_groups")
                set_meta(self._store, _LISTED, "")
        except sqlite3.OperationalError as exc:
            log.warning("the groups cannot be reported again: %s", exc)
            return False
        return True

    def _before(self, group_id: str) -> Group:
        row = self._store.execute("SELECT content FROM reported_groups WHERE id = ?", (group_id,)).fetchone()
        return msgspec.json.decode(row[0], type=Group)

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
