"""The latest messages, stored on the volume to show deleted ones and to quote.

All methods must be called on the thread of the event loop.
"""

import sqlite3
from datetime import UTC, datetime

from bot_runtime.whatsapp.jid import PERSON, Address, read_address
from bot_runtime.whatsapp.messages import Content, Incoming, Kind

CAPACITY = 2000
MAX_FILE_BYTES = 65536
"""Maximum size of what describes a file (its keys, its preview); the file itself is not stored."""
_SLACK = 200
"""Old messages are deleted in batches of this size, which is cheaper than one by one."""
_TABLE = """
CREATE TABLE IF NOT EXISTS recent (number INTEGER PRIMARY KEY, chat TEXT, id TEXT, sender TEXT,
    sender_number TEXT, push_name TEXT, from_me INTEGER, kind TEXT, text TEXT, file BLOB, timestamp TEXT,
    UNIQUE (id, chat))
"""
_COLUMNS = "chat, id, sender, sender_number, push_name, from_me, kind, text, file, timestamp"


class Recent:
    """Stores the last `capacity` messages of all chats."""

    def __init__(self, store: sqlite3.Connection, *, capacity: int = CAPACITY) -> None:
        self._store = store
        self._capacity = capacity
        store.execute(_TABLE)
        (self._count,) = store.execute("SELECT count(*) FROM recent").fetchone()

    def remember(self, message: Incoming, *, with_file: bool) -> bool:
        """Store a message and delete the oldest beyond the capacity; False when it is stored already.

        `with_file` also stores what forwarding its file requires.
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
        self._count += added
        if self._count >= self._capacity + _SLACK:
            self._store.execute(
                "DELETE FROM recent WHERE number <= (SELECT number FROM recent ORDER BY number DESC LIMIT 1 OFFSET ?)",
                (self._capacity,),
            )
            self._count = self._capacity
        return added == 1

    def find(self, message_id: str, chat: Address) -> Incoming | None:
        """The message of a chat with this id; None when it is unknown or too old.

        Only the kind, the text and the file of its content are stored.
        """
        row = self._store.execute(
            f"SELECT {_COLUMNS} FROM recent WHERE id = ? AND chat = ?",  # noqa: S608 - constant
            (message_id, str(chat)),
        ).fetchone()
        if row is None:
            return None
        in_chat, found, sender, number, push_name, from_me, kind, text, file, timestamp = row
        address = read_address(in_chat)
        return Incoming(
            id=found,
            chat=address,
            sender=read_address(sender),
            sender_number=number,
            from_me=bool(from_me),
            is_group=address.is_group,
            timestamp=datetime.fromisoformat(timestamp),
            push_name=push_name,
            content=Content(kind=Kind(kind), text=text, file=file),
        )

    def text_of(self, message_id: str, chat: Address) -> str:
        """The text of a chat's message with this id, "" when it is unknown.

        A person's chat may be given by number although WhatsApp names it by the hidden id.
        """
        row = self._store.execute(
            "SELECT text FROM recent WHERE id = ? AND (chat = ? OR"
            " chat IN (SELECT chat FROM recent WHERE sender = chat AND sender_number = ?))",
            (message_id, str(chat), chat.user if chat.server == PERSON else ""),
        ).fetchone()
        return str(row[0]) if row else ""
