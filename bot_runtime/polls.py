"""The options of polls, by which votes are read.

A vote contains only the SHA-256 digests of the names of the chosen options. So the options of every poll that is
received or sent are stored on the volume. All methods must be called on the thread of the event loop.
"""

import hashlib
import logging
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from bot_runtime.whatsapp.messages import Incoming, Kind, WhatsAppError

log = logging.getLogger(__name__)

CAPACITY = 1000
_SLACK = 100
_TABLE = "CREATE TABLE IF NOT EXISTS polls (number INTEGER PRIMARY KEY, id TEXT UNIQUE, options BLOB)"


class Polls:
    """Stores the options of the last `capacity` polls."""

    def __init__(self, store: sqlite3.Connection, *, capacity: int = CAPACITY) -> None:
        self._store = store
        self._capacity = capacity
        store.execute(_TABLE)
        (self._count,) = store.execute("SELECT count(*) FROM polls").fetchone()

    def remember(self, message_id: str, options: Sequence[str]) -> None:
        """Store the options of a poll; the first poll of an id counts.

        A full disk makes the transaction fail that this is part of; otherwise it is logged and ignored.
        """
        in_transaction = self._store.in_transaction
        try:
            self._count += self._store.execute(
                "INSERT OR IGNORE INTO polls (id, options) VALUES (?, ?)", (message_id, msgspec.json.encode(options))
            ).rowcount
            if self._count >= self._capacity + _SLACK:
                self._store.execute(
                    "DELETE FROM polls WHERE number <="
                    " (SELECT number FROM polls ORDER BY number DESC LIMIT 1 OFFSET ?)",
                    (self._capacity,),
                )
                self._count = self._capacity
        except sqlite3.OperationalError as exc:
            if in_transaction:
                raise
            log.warning("the options of poll %s could not be stored: %s", message_id, exc)

    def names(self, message_id: str, digests: Sequence[bytes]) -> list[str] | None:
        """The options with these SHA-256 digests, in the order of the poll; None when one of them is unknown."""
        row = self._store.execute("SELECT options FROM polls WHERE id = ?", (message_id,)).fetchone()
        if row is None:
            return [] if not digests else None
        chosen = set(digests)
        options = msgspec.json.decode(row[0], type=list[str])
        found = [option for option in options if hashlib.sha256(option.encode()).digest() in chosen]
        return found if len(found) == len(chosen) else None


class Votes:
    """Reads votes. `open_vote` returns the digests in an encrypted vote, or raises `WhatsAppError`."""

    def __init__(self, polls: Polls, open_vote: Callable[[bytes], list[bytes]]) -> None:
        self._polls = polls
        self._open = open_vote

    def details(self, message: Incoming) -> dict[str, Any]:
        """For the event of a vote: the chosen options. For the event of a poll: nothing, but its options are stored."""
        content = message.content
        if message.kind is Kind.POLL:
            self._polls.remember(message.id, content.details["poll"]["options"])
        if message.kind is not Kind.POLL_VOTE:
            return {}
        poll_id = content.details["poll"]["messageId"]
        try:
            names = self._polls.names(poll_id, self._open(content.sealed))
        except WhatsAppError as exc:
            log.info("vote %s cannot be decrypted: %s", message.id, exc)
            names = None
        return {"poll": {"messageId": poll_id, "options": names}}
