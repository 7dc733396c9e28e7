"""What the session file shows about messages that were in flight when the process ended.

whatsmeow sends one message after another, in steps that it records durably in the session file:

    1. store the secret and the id of the message
    2. ask WhatsApp for unknown devices and keys
    3. encrypt, and store the next encryption state of each device (for a group: of the group, before step 2)
    4. send

So a message whose secret is missing was not sent, and neither was one after whose secret nothing was encrypted.
"""

import hashlib
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bot_runtime.whatsapp.account import SessionUnreadableError
from bot_runtime.whatsapp.jid import HIDDEN, Address

_BATCH = 500
"""SQLite takes at least 999 parameters."""


def find_messages(database: Path, secrets: Collection[bytes], *, in_use: bool = False) -> dict[bytes, str]:
    """The message ids of those secrets that whatsmeow has stored.

    With `in_use` neonize has the file open: then a missing secret proves nothing, because the table may be read in the
    middle of a change. Raises `SessionUnreadableError`.
    """
    found: dict[bytes, str] = {}
    missing = list(secrets)
    with _session(database, in_use=in_use) as session:
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


def chat_state(database: Path, chat: Address, *, in_use: bool = False) -> bytes:
    """A digest of the encryption state of a chat: it changes with everything that is encrypted for the chat.

    For a person it covers their devices, for a group the account's own key there. It also changes with what a person
    writes, so only an unchanged digest proves something. Raises `SessionUnreadableError`.
    """
    digest = hashlib.sha256()
    with _session(database, in_use=in_use) as session:
        row = session.execute("SELECT jid, lid FROM whatsmeow_device").fetchone()
        if row is None:
            raise SessionUnreadableError("the session has no device")
        if chat.is_group:
            own = [jid.partition("@")[0].partition(":")[0].partition(".")[0] for jid in row if jid]
            rows = _of(session, "sender_key FROM whatsmeow_sender_keys", "sender_id", row[0], own, chat_id=str(chat))
        else:
            rows = _of(session, "session FROM whatsmeow_sessions", "their_id", row[0], _names(session, chat))
        for name, record in rows:
            digest.update(f"{name} {len(record)} ".encode())
            digest.update(record)
    return digest.digest()


def number_of(database: Path, hidden: str) -> str | None:
    """The phone number of a hidden id, None when it is unknown.

    neonize may have the file open. Raises `SessionUnreadableError`.
    """
    with _session(database, in_use=True) as session:
        row = session.execute("SELECT pn FROM whatsmeow_lid_map WHERE lid = ?", (hidden,)).fetchone()
    return row[0] if row else None


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


@contextmanager
def _session(database: Path, *, in_use: bool) -> Iterator[sqlite3.Connection]:
    # See `read_account` for why a file in use is opened as immutable.
    options = "?mode=ro&immutable=1" if in_use else "?mode=rw"
    try:
        with closing(sqlite3.connect(database.absolute().as_uri() + options, uri=True)) as session:
            yield session
    except sqlite3.DatabaseError as exc:
        raise SessionUnreadableError(str(exc)) from exc
