"""The state file: an SQLite database with one row per person, written when that person changed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from whatsapp_simulator.world import codec
from whatsapp_simulator.world.model import Person

_FORMAT = 1


class StoreError(Exception):
    """The state file cannot be used; the message says why."""


class Store:
    """An open state file."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute("CREATE TABLE IF NOT EXISTS people (phone TEXT PRIMARY KEY, data TEXT NOT NULL)")
            version = self._database.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _FORMAT):
                raise StoreError(f"{path}: a state file of another version ({version})")
            self._database.execute(f"PRAGMA user_version = {_FORMAT}")
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{path}: {error}") from error

    def load(self) -> list[Person]:
        """Everybody in the file."""
        rows = self._database.execute("SELECT data FROM people ORDER BY rowid")
        return [codec.from_json(Person, json.loads(data)) for (data,) in rows]

    def save(self, people: Iterable[Person]) -> None:
        """Write these people in one transaction."""
        with self._database:
            self._database.executemany(
                "INSERT INTO people VALUES (?, ?) ON CONFLICT (phone) DO UPDATE SET data = excluded.data",
                [(person.phone, json.dumps(codec.to_json(person))) for person in people],
            )

    def close(self) -> None:
        """Close the file."""
        self._database.close()
