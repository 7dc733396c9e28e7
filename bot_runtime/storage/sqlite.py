"""The SQLite file on the volume that stores what must survive a crash: events, and the log of sent messages.

Only one process uses it (ensured by the lock of the session), so it is opened in exclusive mode: without a
shared-memory file, and with a single write per commit. `kill -9` at any time loses no committed data; a power
cut may lose the last commits but never corrupts the file.
"""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bot_runtime.errors import is_unavailable

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT, data BLOB, timestamp TEXT);
CREATE TABLE IF NOT EXISTS sends (client_id TEXT PRIMARY KEY, started REAL, message_id TEXT, timestamp TEXT)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS media (message_id TEXT PRIMARY KEY, kept REAL, mimetype TEXT, size INTEGER, file_name TEXT,
    reference BLOB) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS media_kept ON media (kept);
"""
_ADDED = {"sends": ("recipient TEXT", "secret BLOB", "state BLOB", "unconfirmed INTEGER DEFAULT 0")}
"""Columns that are missing in files of earlier versions."""
_INCREMENTAL = 2
SPARE_PAGES = 1024
"""Free pages (of 4 KiB) that the file keeps, so that it need not grow again for every message."""
RELEASED_PAGES = 256
CONTINUED = ("arrivals", "paired_at")
"""Values that a new file continues with: up to where the journal is recorded, and when a phone was paired."""
EVENT_BYTES = 100
"""What an event takes beside its data, approximately."""
_INDEXES = """
CREATE INDEX IF NOT EXISTS sends_recipient ON sends (recipient, started);
CREATE INDEX IF NOT EXISTS sends_started ON sends (started);
CREATE INDEX IF NOT EXISTS events_other ON events (type) WHERE type <> 'message-upsert';
CREATE INDEX IF NOT EXISTS sends_open ON sends (client_id) WHERE message_id IS NULL;
"""


class _DamagedError(Exception):
    """The file was damaged, and has been set aside."""


def open_store(path: Path) -> sqlite3.Connection:
    """Open the file, creating it if necessary.

    A damaged file is set aside as `*.damaged`: its events are lost, but the bot continues with a new spool. Raises
    `sqlite3.Error` when the file cannot be read or written just now, for example because the disk is full.
    """
    rescued = _rescue(path) if _mark(path).exists() else None
    if rescued is None:
        try:
            return _open(path)
        except _DamagedError as exc:
            log.warning("%s is damaged (%s): set aside as %s, starting a new one", path.name, exc, _damaged(path).name)
            return _open(path)
    log.warning("%s was found damaged: set aside as %s, starting a new one", path.name, _damaged(path).name)
    _set_aside(path)
    store = _open(path)
    store.executemany("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", rescued)
    _mark(path).unlink()
    return store


def mark_damaged(path: Path) -> None:
    """The file turned out to be damaged while it was in use: the next process sets it aside."""
    _mark(path).touch()


def _mark(path: Path) -> Path:
    return path.with_name(path.name + "-damaged")


def _rescue(path: Path) -> list[tuple[str, str | int]]:
    """What can still be read of the `CONTINUED` values."""
    try:
        with closing(sqlite3.connect(path)) as damaged:
            damaged.execute("PRAGMA locking_mode = EXCLUSIVE")
            keys = ", ".join("?" * len(CONTINUED))
            return damaged.execute(f"SELECT key, value FROM meta WHERE key IN ({keys})", CONTINUED).fetchall()  # noqa: S608
    except sqlite3.Error as exc:
        log.warning("%s cannot be read at all: %s", path.name, exc)
        return []


def _damaged(path: Path) -> Path:
    return path.with_suffix(".damaged")


def _set_aside(path: Path) -> None:
    """Rename the file with all that belongs to it. The file first: SQLite ignores the others without it."""
    damaged = _damaged(path)
    for suffix in ("", "-wal", "-shm", "-journal"):
        try:
            path.with_name(path.name + suffix).replace(damaged.with_name(damaged.name + suffix))
        except FileNotFoundError:
            damaged.with_name(damaged.name + suffix).unlink(missing_ok=True)


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=32)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        _allow_release(connection)
        connection.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
            "PRAGMA cache_size = -256; PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 1000000;" + _SCHEMA
        )
        for table, columns in _ADDED.items():
            present = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            for column in columns:
                if column.partition(" ")[0] not in present:
                    connection.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
        connection.executescript(_INDEXES)
    except sqlite3.Error as exc:
        with closing(connection):
            if is_unavailable(exc):
                raise
            _set_aside(path)  # before it is closed, which would remove its WAL
        raise _DamagedError(str(exc)) from exc
    return connection


def _allow_release(connection: sqlite3.Connection) -> None:
    """Make it possible to return pages to the volume: in a new file, or by converting one of an earlier version."""
    if connection.execute("PRAGMA auto_vacuum").fetchone()[0] == _INCREMENTAL:
        return  # setting it would write to the file, and fail on a full disk
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    if connection.execute("PRAGMA page_count").fetchone()[0]:
        try:
            connection.execute("VACUUM")
        except sqlite3.OperationalError as exc:  # a full disk: at the next start
            log.warning("the store cannot become smaller for now: %s", exc)


def release_pages(store: sqlite3.Connection) -> None:
    """Return at most `RELEASED_PAGES` free pages to the volume, when there are many. Raises OperationalError."""
    if store.execute("PRAGMA freelist_count").fetchone()[0] > SPARE_PAGES:
        store.executescript(f"PRAGMA incremental_vacuum({RELEASED_PAGES})")  # a single `execute` frees one page


def waiting_bytes(store: sqlite3.Connection) -> int:
    """The approximate size of the events in the spool."""
    (size,) = store.execute(f"SELECT count(*) * {EVENT_BYTES} + total(length(data)) FROM events").fetchone()  # noqa: S608
    return int(size)


@contextmanager
def transaction(store: sqlite3.Connection) -> Iterator[None]:
    """A transaction, or part of the current transaction if there is one.

    Raises `sqlite3.OperationalError` at the end when SQLite rolled it back.
    """
    if store.in_transaction:
        yield
        return
    with store:
        store.execute("BEGIN")
        yield
        if not store.in_transaction:
            raise sqlite3.OperationalError("SQLite rolled the transaction back")


def get_meta(store: sqlite3.Connection, key: str) -> str | int | None:
    """One stored value."""
    row = store.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def set_meta(store: sqlite3.Connection, key: str, value: str | int) -> None:
    """Store one value, as part of the current transaction if there is one."""
    store.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))
