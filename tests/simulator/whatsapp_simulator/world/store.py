"""The state file: an SQLite database with one row per person, group, channel and file. Only changes are written."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from whatsapp_simulator.world import codec
from whatsapp_simulator.world.channels import Channel
from whatsapp_simulator.world.files import StoredFile
from whatsapp_simulator.world.groups import Group
from whatsapp_simulator.world.model import Person

_FORMAT = 1
_TABLES = (
    "people (phone TEXT PRIMARY KEY, data TEXT NOT NULL)",
    "groups (id TEXT PRIMARY KEY, data TEXT NOT NULL)",
    "channels (id TEXT PRIMARY KEY, data TEXT NOT NULL)",
    "files (path TEXT PRIMARY KEY, data BLOB NOT NULL)",
)
_PUT = {
    Person: "INSERT INTO people VALUES (?, ?) ON CONFLICT DO UPDATE SET data = excluded.data",
    Group: "INSERT INTO groups VALUES (?, ?) ON CONFLICT DO UPDATE SET data = excluded.data",
    Channel: "INSERT INTO channels VALUES (?, ?) ON CONFLICT DO UPDATE SET data = excluded.data",
}
_GET = {
    Person: "SELECT data FROM people ORDER BY rowid",
    Group: "SELECT data FROM groups ORDER BY rowid",
    Channel: "SELECT data FROM channels ORDER BY rowid",
}
Item = TypeVar("Item", Person, Group, Channel)


class StoreError(Exception):
    """The state file cannot be used; the message states the reason."""


class Store:
    """An open state file."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            for table in _TABLES:
                self._database.execute(f"CREATE TABLE IF NOT EXISTS {table}")
            version = self._database.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _FORMAT):
                raise StoreError(f"{path}: unsupported state file version {version}")
            self._database.execute(f"PRAGMA user_version = {_FORMAT}")
        except (OSError, sqlite3.Error) as exc:
            raise StoreError(f"{path}: {exc}") from exc

    def load(self) -> list[Person]:
        """All people in the file."""
        return self._all(Person)

    def load_groups(self) -> list[Group]:
        """All groups in the file."""
        return self._all(Group)

    def load_channels(self) -> list[Channel]:
        """All channels in the file."""
        return self._all(Channel)

    def load_files(self) -> list[StoredFile]:
        """All media files in the file, oldest first."""
        return [StoredFile(*row) for row in self._database.execute("SELECT path, data FROM files ORDER BY rowid")]

    def save(
        self,
        people: Iterable[Person],
        groups: Iterable[Group] = (),
        channels: Iterable[Channel] = (),
        files: Mapping[str, StoredFile | None] | None = None,
    ) -> None:
        """Write changes in one transaction; files that are None are deleted."""
        with self._database:
            self._put(Person, [(person.phone, codec.to_json(person)) for person in people])
            self._put(Group, [(group.id, codec.to_json(group)) for group in groups])
            self._put(Channel, [(channel.id, codec.to_json(channel)) for channel in channels])
            for path, file in (files or {}).items():
                self._database.execute("DELETE FROM files WHERE path = ?", (path,))
                if file is not None:
                    self._database.execute("INSERT INTO files VALUES (?, ?)", (path, file.data))

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _all(self, kind: type[Item]) -> list[Item]:
        return [codec.from_json(kind, json.loads(data)) for (data,) in self._database.execute(_GET[kind])]

    def _put(self, kind: type, rows: list[tuple[str, object]]) -> None:
        self._database.executemany(_PUT[kind], [(key, json.dumps(data)) for key, data in rows])
