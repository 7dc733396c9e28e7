"""The account of a session file, read from whatsmeow's own table: asking neonize would cost a protobuf import."""

import sqlite3
from contextlib import closing
from pathlib import Path

from bot_runtime.errors import is_unavailable
from bot_runtime.whatsapp.messages import Account


class SessionUnreadableError(Exception):
    """The session file is damaged, or not a session."""


def read_account(database: Path, *, check: bool = False) -> Account | None:
    """The account of a session, None before pairing.

    `check` checks the whole file for damage and rolls back what a crash left incomplete; only before neonize has opened
    it. Raises `SessionUnreadableError`, without `check` also while the file is being written; with `check`,
    `sqlite3.Error` when it cannot be read just now.
    """
    if not database.exists():
        return None
    # POSIX locks have no effect within a process, and neonize has its own copy of SQLite: an ordinary connection would
    # mistake the journal of a running transaction for the rest of a crash, roll it back and delete it.
    options = "" if check else "?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(database.absolute().as_uri() + options, uri=True)) as session:
            if check:
                _check(session)
            if not session.execute("SELECT 1 FROM sqlite_master WHERE name = 'whatsmeow_device'").fetchone():
                return None
            row = session.execute("SELECT jid, push_name, lid FROM whatsmeow_device").fetchone()
    except sqlite3.DatabaseError as exc:
        if check and is_unavailable(exc):
            raise
        raise SessionUnreadableError(str(exc)) from exc
    if row is None:
        return None
    jid, push_name, lid = row
    return Account(number=_user(jid), push_name=push_name or None, lid=_user(lid) if lid else None)


def _user(jid: str) -> str:
    return jid.partition("@")[0].partition(":")[0].partition(".")[0]


def _check(session: sqlite3.Connection) -> None:
    (verdict,) = session.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise SessionUnreadableError(verdict)
