"""What the session file tells about messages that were to be sent when the process ended.

whatsmeow sends one message after the other, and writes to its file on the way, durably:

    1. the message's secret and id
    2. asks WhatsApp for the devices and keys it does not know
    3. encrypts, and writes down how the encryption goes on with each device (or with the group, before step 2)
    4. sends

So a message whose secret is not there was not sent, and neither was one after whose secret nothing was encrypted.
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
    """The message ids of those secrets that whatsmeow has written down.

    With `in_use` neonize has the file open: then a secret that is not found proves nothing, because the table may be
    read half changed. Raises `SessionUnreadableError`.
    """
    found: dict[bytes, str] = {}
    wanted = list(secrets)
    with _session(database, in_use=in_use) as session:
        for first in range(0, len(wanted), _BATCH):
            batch = wanted[first : first + _BATCH]
            marks = ", ".join("?" * len(batch))
            found.update(
                session.execute(
                    f"SELECT key, message_id FROM whatsmeow_message_secrets WHERE key IN ({marks})",  # noqa: S608
                    batch,
                ).fetchall()
            )
    return found


def chat_state(database: Path, chat: Address, *, in_use: bool = False) -> bytes:
    """A digest of how the encryption with a chat stands: another one after everything that is encrypted for it.

    For a person it covers their devices, for a group what the account encrypts with there. It also changes with what a
    person writes, so only sameness proves something. Raises `SessionUnreadableError`.
    """
    digest = hashlib.sha256()
    with _session(database, in_use=in_use) as session:
        row = session.execute("SELECT jid, lid FROM whatsmeow_device").fetchone()
        if row is None:
            raise SessionUnreadableError("there is no device in the session")
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
    """The phone number behind a hidden id, None when WhatsApp has not told it.

    neonize may have the file open. Raises `SessionUnreadableError`.
    """
    with _session(database, in_use=True) as session:
        row = session.execute("SELECT pn FROM whatsmeow_lid_map WHERE lid = ?", (hidden,)).fetchone()
    return row[0] if row else None


def _names(session: sqlite3.Connection, person: Address) -> list[str]:
    """The users of one person: by number and by hidden id, as far as both are known."""
    known, other = ("lid", "pn") if person.server == HIDDEN else ("pn", "lid")
    query = f"SELECT {other} FROM whatsmeow_lid_map WHERE {known} = ?"  # noqa: S608 - both names stand above
    return [person.user, *(user for (user,) in session.execute(query, (person.user,)))]


def _of(
    session: sqlite3.Connection, what: str, column: str, jid: str, users: list[str], **where: str
) -> list[tuple[str, bytes]]:
    """Records of some users' devices; whatsmeow names those `user:device`, or `user_agent:device`."""
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
    # See `read_account` for why a file in use is read as if nobody wrote it.
    options = "?mode=ro&immutable=1" if in_use else "?mode=rw"
    try:
        with closing(sqlite3.connect(database.absolute().as_uri() + options, uri=True)) as session:
            yield session
    except sqlite3.DatabaseError as error:
        raise SessionUnreadableError(str(error)) from error
