"""The last messages, kept on the volume: to show one that was deleted, or to quote it.

All methods belong to the event loop's thread.
"""

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

from bot_runtime.whatsapp.jid import Address, read_address
from bot_runtime.whatsapp.messages import Incoming, Kind

CAPACITY = 2000
MAX_FILE_BYTES = 65536
"""What describes a file (its keys, its preview) may take; the file itself is not kept."""
_SLACK = 200
"""Old messages go this many at a time, which costs less than one by one."""
_TABLE = """
CREATE TABLE IF NOT EXISTS recent (number INTEGER PRIMARY KEY, chat TEXT, id TEXT, sender TEXT,
    sender_number TEXT, push_name TEXT, from_me INTEGER, kind TEXT, text TEXT, file BLOB, timestamp TEXT,
    UNIQUE (id, chat))
"""
_COLUMNS = "chat, id, sender, sender_number, push_name, from_me, kind, text, file, timestamp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A message as it is remembered; `file` is its WhatsApp form when it carries a file."""

    chat: Address
    id: str
    sender: Address
    sender_number: str | None
    push_name: str
    from_me: bool
    kind: Kind
    text: str
    file: bytes
    timestamp: datetime


class Recent:
    """Remembers the last `capacity` messages of all chats."""

    def __init__(self, store: sqlite3.Connection, *, capacity: int = CAPACITY) -> None:
        self._store = store
        self._capacity = capacity
        store.execute(_TABLE)
        (self._kept,) = store.execute("SELECT count(*) FROM recent").fetchone()

    def remember(self, message: Incoming, *, with_file: bool) -> bool:
        """Keep a message, the oldest ones go when there are too many; False when it is here already.

        `with_file` keeps what it takes to show its file again, too.
        """
        content = message.content
        file = content.file if with_file and len(content.file) <= MAX_FILE_BYTES else b""
        row = (
            str(message.chat), message.id, str(message.sender), message.sender_number, message.push_name,
            message.from_me, content.kind.value, content.text, file, message.timestamp.astimezone(UTC).isoformat(),
        )  # fmt: skip
        added = self._store.execute(
            f"INSERT OR IGNORE INTO recent ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constant
            row,
        ).rowcount
        self._kept += added
        if self._kept >= self._capacity + _SLACK:
            self._store.execute(
                "DELETE FROM recent WHERE number <= (SELECT number FROM recent ORDER BY number DESC LIMIT 1 OFFSET ?)",
                (self._capacity,),
            )
            self._kept = self._capacity
        return added == 1

    def find(self, message_id: str, chat: Address | None = None) -> Remembered | None:
        """The message with this id, in `chat` or in any; None when it is unknown or too old."""
        row = self._store.execute(
            f"SELECT {_COLUMNS} FROM recent WHERE id = ? AND (? IS NULL OR chat = ?) ORDER BY number DESC LIMIT 1",  # noqa: S608 - constant
            (message_id, chat and str(chat), chat and str(chat)),
        ).fetchone()
        if row is None:
            return None
        in_chat, found, sender, number, push_name, from_me, kind, text, file, timestamp = row
        return Remembered(
            chat=read_address(in_chat),
            id=found,
            sender=read_address(sender),
            sender_number=number,
            push_name=push_name,
            from_me=bool(from_me),
            kind=Kind(kind),
            text=text,
            file=file,
            timestamp=datetime.fromisoformat(timestamp),
        )
