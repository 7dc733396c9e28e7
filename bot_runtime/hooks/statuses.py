"""Auto-view: marks statuses of contacts as viewed, each once."""

import asyncio
import sqlite3
from collections.abc import Callable

from bot_runtime.contract import RuntimeConfig
from bot_runtime.whatsapp.gestures import Gestures
from bot_runtime.whatsapp.messages import Incoming, Kind

CAPACITY = 5000
_SLACK = 200
_TABLE = "CREATE TABLE IF NOT EXISTS viewed (number INTEGER PRIMARY KEY, id TEXT UNIQUE)"


class Viewed:
    """The last `capacity` viewed statuses, stored on the volume."""

    def __init__(self, store: sqlite3.Connection, *, capacity: int = CAPACITY) -> None:
        self._store = store
        self._capacity = capacity
        store.execute(_TABLE)
        (self._count,) = store.execute("SELECT count(*) FROM viewed").fetchone()

    def __contains__(self, status_id: str) -> bool:
        return self._store.execute("SELECT 1 FROM viewed WHERE id = ?", (status_id,)).fetchone() is not None

    def add(self, status_id: str) -> None:
        """Store one."""
        self._count += self._store.execute("INSERT OR IGNORE INTO viewed (id) VALUES (?)", (status_id,)).rowcount
        if self._count >= self._capacity + _SLACK:
            self._store.execute(
                "DELETE FROM viewed WHERE number <= (SELECT number FROM viewed ORDER BY number DESC LIMIT 1 OFFSET ?)",
                (self._capacity,),
            )
            self._count = self._capacity


class AutoView:
    """Views statuses while the setting is on; `viewed` counts them, `memory` stores them."""

    name = "auto-view"

    def __init__(self, settings: Callable[[], RuntimeConfig], gestures: Gestures, memory: Viewed) -> None:
        self._settings = settings
        self._gestures = gestures
        self._memory = memory
        self.viewed = 0

    def wants(self, message: Incoming, *, fresh: bool) -> bool:
        """Also old ones: a status can be viewed for a day."""
        return message.kind is Kind.STATUS and not message.from_me and self._settings().auto_view

    async def handle(self, message: Incoming) -> None:
        """Mark it as viewed."""
        key = f"{message.sender}/{message.id}"
        if key in self._memory:
            return
        await asyncio.to_thread(self._gestures.mark_read, message.id, message.chat, message.sender, message.timestamp)
        self._memory.add(key)
        self.viewed += 1
