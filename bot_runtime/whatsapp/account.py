"""Whose session a file holds: read from whatsmeow's own table, because asking neonize costs a protobuf import."""

import sqlite3
from contextlib import closing
from pathlib import Path

from bot_runtime.whatsapp.messages import Account


class SessionUnreadableError(Exception):
    """The session file is damaged, or not a session."""


def read_account(database: Path, *, check: bool = False) -> Account | None:
    """The account of a session, None when nobody has paired.

    `check` reads the whole file for damage and mends what a crash left half written; only before neonize has opened it.
    Raises `SessionUnreadableError`, without `check` also when the file is just being written.
    """
    if not database.exists():
        return None
    # POSIX locks do not hold within a process, and neonize's SQLite is another one than Python's: an ordinary
    # connection would take the journal of a transaction under way for a crash's, roll it back and delete it.
    options = "" if check else "?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(database.absolute().as_uri() + options, uri=True)) as session:
            if check:
                _check(session)
            if not session.execute("SELECT 1 FROM sqlite_master WHERE name = 'whatsmeow_device'").fetchone():
                return None
            row = session.execute("SELECT jid, push_name, lid FROM whatsmeow_device").fetchone()
    except sqlite3.DatabaseError as error:
        raise SessionUnreadableError(str(error)) from error
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
