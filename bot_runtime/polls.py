"""What the options of a poll are called, and so what a vote says.

A vote tells its choice only to those who have the poll, and only by the SHA-256 of each option's name. So the options
of every poll that is seen or sent are kept on the volume. All methods belong to the event loop's thread.
"""

import hashlib
import logging
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from bot_runtime.whatsapp.messages import Incoming, Kind, WhatsAppError

log = logging.getLogger(__name__)

KEPT = 1000
_SLACK = 100
_TABLE = "CREATE TABLE IF NOT EXISTS polls (number INTEGER PRIMARY KEY, id TEXT UNIQUE, options BLOB)"


class Polls:
    """Remembers the options of the last `kept` polls."""

    def __init__(self, store: sqlite3.Connection, *, kept: int = KEPT) -> None:
        self._store = store
        self._kept = kept
        store.execute(_TABLE)
        (self._count,) = store.execute("SELECT count(*) FROM polls").fetchone()

    def remember(self, message_id: str, options: Sequence[str]) -> None:
        """Keep the options of a poll; the first poll of an id counts. A full disk is logged, and otherwise ignored."""
        try:
            self._count += self._store.execute(
                "INSERT OR IGNORE INTO polls (id, options) VALUES (?, ?)", (message_id, msgspec.json.encode(options))
            ).rowcount
            if self._count >= self._kept + _SLACK:
                self._store.execute(
                    "DELETE FROM polls WHERE number <="
                    " (SELECT number FROM polls ORDER BY number DESC LIMIT 1 OFFSET ?)",
                    (self._kept,),
                )
                self._count = self._kept
        except sqlite3.OperationalError as error:
            log.warning("the options of poll %s will not be known: %s", message_id, error)

    def names(self, message_id: str, digests: Sequence[bytes]) -> list[str] | None:
        """The options with these SHA-256 digests, in the poll's order; None when not all of them are known."""
        row = self._store.execute("SELECT options FROM polls WHERE id = ?", (message_id,)).fetchone()
        if row is None:
            return [] if not digests else None
        chosen = set(digests)
        options = msgspec.json.decode(row[0], type=list[str])
        found = [option for option in options if hashlib.sha256(option.encode()).digest() in chosen]
        return found if len(found) == len(chosen) else None


class Votes:
    """Tells what votes say. `open_vote` gives the digests that an encrypted vote carries, or raises `WhatsAppError`."""

    def __init__(self, polls: Polls, open_vote: Callable[[bytes], list[bytes]]) -> None:
        self._polls = polls
        self._open = open_vote

    def details(self, message: Incoming) -> dict[str, Any]:
        """For the event of a vote: the choice. The options of a poll are remembered on the way."""
        content = message.content
        if message.kind is Kind.POLL:
            self._polls.remember(message.id, content.details["poll"]["options"])
        if message.kind is not Kind.POLL_VOTE:
            return {}
        poll_id = content.details["poll"]["messageId"]
        try:
            names = self._polls.names(poll_id, self._open(content.sealed))
        except WhatsAppError as error:
            log.info("vote %s cannot be read: %s", message.id, error)
            names = None
        return {"poll": {"messageId": poll_id, "options": names}}
