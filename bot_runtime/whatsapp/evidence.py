"""What the session file shows about messages whose sending failed, or that were in flight when the process ended.

whatsmeow sends one message after another, in steps that it records durably in the session file:

    1. store the secret and the id of the message
    2. ask WhatsApp for unknown devices and keys
    3. encrypt, and store the next encryption state of each device (for a group: of the group, before step 2)
    4. send

So a message whose secret is missing was not sent, and neither was one after whose secret nothing was encrypted.
"""

import hashlib
import sqlite3
import time
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bot_runtime.whatsapp.account import SessionUnreadableError
from bot_runtime.whatsapp.jid import HIDDEN, Address

_T = TypeVar("_T")

_BATCH = 500
"""SQLite takes at least 999 parameters."""
_ATTEMPTS = 100
_RETRY_SECONDS = 0.0005
"""A transaction takes some milliseconds, and a reply waits for it."""
_WAL = 2


@dataclass(frozen=True, slots=True)
class Trace:
    """What one message left in the session file, after the library has returned from sending it."""

    message_id: str | None
    """The id that whatsmeow stored with the secret of the message; None when it did not."""
    unsent: bool
    """Whether the file proves that nothing was sent."""


def trace(database: Path, secret: bytes, chat: Address, before: bytes | None) -> Trace:
    """What a message to `chat` left in the file that neonize has open.

    `secret` is empty for a message without one. `before` is the `chat_state` right before it was sent, None when
    unknown. Raises `SessionUnreadableError`, also when the session has no device (any more): then the evidence is gone.
    """

    def look(session: sqlite3.Connection) -> Trace:
        state = _chat_state(session, chat)
        message_id = _find(session, [secret]).get(secret) if secret else None
        return Trace(message_id, unsent=(bool(secret) and message_id is None) or before == state)

    return _read_in_use(database, look)


def find_messages(database: Path, secrets: Collection[bytes]) -> dict[bytes, str]:
    """The message ids of those secrets that whatsmeow has stored; before neonize opens the file.

    Raises `SessionUnreadableError`.
    """
    return _read(database, lambda session: _find(session, secrets))


def chat_state(database: Path, chat: Address, *, in_use: bool = False) -> bytes:
    """A digest of the encryption state of a chat: it changes with everything that is encrypted for the chat.

    For a person it covers their devices, for a group the account's own key there. It also changes with what a person
    writes, so only an unchanged digest proves something. With `in_use` neonize has the file open. Raises
    `SessionUnreadableError`.
    """
    return (_read_in_use if in_use else _read)(database, lambda session: _chat_state(session, chat))


def number_of(database: Path, hidden: str) -> str | None:
    """The phone number of a hidden id, None when it is unknown.

    neonize may have the file open. Raises `SessionUnreadableError`.
    """

    def look(session: sqlite3.Connection) -> str | None:
        row = session.execute("SELECT pn FROM whatsmeow_lid_map WHERE lid = ?", (hidden,)).fetchone()
        return row[0] if row else None

    return _read_in_use(database, look)


def _find(session: sqlite3.Connection, secrets: Collection[bytes]) -> dict[bytes, str]:
    found: dict[bytes, str] = {}
    missing = list(secrets)
    for first in range(0, len(missing), _BATCH):
        batch = missing[first : first + _BATCH]
        marks = ", ".join("?" * len(batch))
        found.update(
            session.execute(
                f"SELECT key, message_id FROM whatsmeow_message_secrets WHERE key IN ({marks})",  # noqa: S608
                batch,
            ).fetchall()
        )
    return found


def _chat_state(session: sqlite3.Connection, chat: Address) -> bytes:
    row = session.execute("SELECT jid, lid FROM whatsmeow_device").fetchone()
    if row is None:
        raise SessionUnreadableError("the session has no device")
    if chat.is_group:
        own = [jid.partition("@")[0].partition(":")[0].partition(".")[0] for jid in row if jid]
        rows = _of(session, "sender_key FROM whatsmeow_sender_keys", "sender_id", row[0], own, chat_id=str(chat))
    else:
        rows = _of(session, "session FROM whatsmeow_sessions", "their_id", row[0], _names(session, chat))
    digest = hashlib.sha256()
    for name, record in rows:
        digest.update(f"{name} {len(record)} ".encode())
        digest.update(record)
    return digest.digest()


def _names(session: sqlite3.Connection, person: Address) -> list[str]:
    """The users of one person: the number and the hidden id, as far as both are known."""
    known, other = ("lid", "pn") if person.server == HIDDEN else ("pn", "lid")
    query = f"SELECT {other} FROM whatsmeow_lid_map WHERE {known} = ?"  # noqa: S608 - both are constants
    return [person.user, *(user for (user,) in session.execute(query, (person.user,)))]


def _of(
    session: sqlite3.Connection, what: str, column: str, jid: str, users: list[str], **where: str
) -> list[tuple[str, bytes]]:
    """Records of the devices of some users; whatsmeow calls them `user:device` or `user_agent:device`."""
    condition = "".join(f" AND {name} = ?" for name in where)
    query = (
        f"SELECT {column}, {what} WHERE our_jid = ?{condition}"
        f" AND ({column} >= ? AND {column} < ? OR {column} >= ? AND {column} < ?) ORDER BY 1"
    )
    return [
        record
        for user in sorted(set(users))
        for record in session.execute(query, (jid, *where.values(), f"{user}:", f"{user};", f"{user}_", f"{user}`"))
    ]


def _read(database: Path, query: Callable[[sqlite3.Connection], _T], options: str = "?mode=rw") -> _T:
    try:
        with closing(sqlite3.connect(database.absolute().as_uri() + options, uri=True)) as session:
            return query(session)
    except sqlite3.DatabaseError as exc:
        raise SessionUnreadableError(str(exc)) from exc


def _read_in_use(database: Path, query: Callable[[sqlite3.Connection], _T]) -> _T:
    """Read while neonize may be writing. What is returned was read between two transactions.

    See `read_account` for why the file is opened as immutable: SQLite then ignores that it changes.
    """
    failure = SessionUnreadableError("the session is being written")
    for _ in range(_ATTEMPTS):
        # In this order: a transaction that began in between has left its journal or a higher counter.
        before, writing = _change_counter(database), _is_written(database)
        if not writing:
            try:
                found = _read(database, query, "?mode=ro&immutable=1")
            except SessionUnreadableError as exc:
                failure = exc
            else:
                if not _is_written(database) and _change_counter(database) == before:
                    return found
        time.sleep(_RETRY_SECONDS)
    raise failure


def _is_written(database: Path) -> bool:
    """Whether a transaction is writing to the file: its journal exists until then."""
    return database.with_name(f"{database.name}-journal").exists()


def _change_counter(database: Path) -> bytes:
    """SQLite's file change counter, which every transaction increments. Raises `SessionUnreadableError`."""
    try:
        with database.open("rb") as file:
            header = file.read(28)
    except OSError as exc:
        raise SessionUnreadableError(str(exc)) from exc
    if len(header) < 28 or header[18] == _WAL:
        raise SessionUnreadableError("the session is not a database with a rollback journal")
    return header[24:]
