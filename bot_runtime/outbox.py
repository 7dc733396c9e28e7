"""What was sent under which client id, so that a message asked for twice goes out once.

neonize lets nobody choose WhatsApp's message id, so a crash between sending and recording cannot be told from a crash
before sending. Such an id is answered with `OutcomeUnknownError` for ever: silence is repaired by a person, a message
sent twice is not. All methods belong to the event loop's thread.
"""

import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime

from bot_runtime.contract import SendResult

KEPT_SECONDS = 7 * 86400.0


class OutcomeUnknownError(Exception):
    """The process ended while this message was being sent: it may or may not have gone out."""


class Outbox:
    """Durable record of client ids; `start` before sending, `finish` or `forget` after."""

    def __init__(self, store: sqlite3.Connection, *, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now
        store.execute("DELETE FROM sends WHERE started < ?", (now() - KEPT_SECONDS,))

    def result(self, client_id: str) -> SendResult | None:
        """The outcome of an earlier send, None when there was none. Raises `OutcomeUnknownError`."""
        row = self._store.execute(
            "SELECT message_id, timestamp FROM sends WHERE client_id = ?", (client_id,)
        ).fetchone()
        if row is None:
            return None
        message_id, timestamp = row
        if message_id is None:
            raise OutcomeUnknownError(f"whether {client_id} was sent is unknown: the bot stopped meanwhile")
        return SendResult(message_id=message_id, timestamp=datetime.fromisoformat(timestamp), repeated=True)

    def start(self, client_id: str) -> None:
        """Record the intent to send."""
        self._store.execute("INSERT INTO sends (client_id, started) VALUES (?, ?)", (client_id, self._now()))

    def finish(self, client_id: str, message_id: str, timestamp: datetime) -> SendResult:
        """Record that WhatsApp took the message."""
        self._store.execute(
            "UPDATE sends SET message_id = ?, timestamp = ? WHERE client_id = ?",
            (message_id, timestamp.astimezone(UTC).isoformat(), client_id),
        )
        return SendResult(message_id=message_id, timestamp=timestamp, repeated=False)

    def forget(self, client_id: str) -> None:
        """Record that nothing was sent: the id may be used again."""
        self._store.execute("DELETE FROM sends WHERE client_id = ?", (client_id,))
