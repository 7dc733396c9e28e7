"""The log of sent messages by client id, so that a message requested twice is sent once.

With neonize the caller cannot choose WhatsApp's message id, so the outcome of messages that were in flight when the
process died must be determined afterwards. Every message carries a secret of 32 random bytes (as in WhatsApp's own
clients, for polls and reports), and whatsmeow stores it durably, with the message id, before anything is sent. Before a
message is sent, the encryption state of its chat is logged (`whatsapp/evidence.py`). So at the next start (`settle`):

    the secret is not in the session file        nothing was sent: the client id is free again
    it is there, nothing was encrypted since     nothing was sent either
    it is there, something was encrypted         the id is known and the message was sent, unless the process died
                                                 right before that: `unconfirmed` until a receipt for it arrives
    the session is a new one                     the outcome cannot be determined: `OutcomeUnknownError`

The same evidence decides about messages whose sending fails while the process runs (`delivery.py`).

A person can resend a message that was not sent, but nobody can take back one that was sent twice. All methods must be
called on the thread of the event loop.
"""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from bot_runtime.contract import SendResult

RETENTION_SECONDS = 8 * 86400.0
"""A week, as long as the orchestrator repeats requests (`outbox/delivery_policy.py`), and a day for a wrong clock."""
_TIDY_EVERY = 1000
REPEATABLE = b""
"""The secret of messages that may safely be sent twice: a reaction replaces the one before."""


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A message that was in flight; `state` is the logged encryption state of its chat, None when not logged yet."""

    client_id: str
    recipient: str
    secret: bytes
    state: bytes | None


class OutcomeUnknownError(Exception):
    """The process ended while this message was in flight: it may or may not have been sent."""


class SendLog:
    """A durable log of client ids: call `start` before sending, `finish` or `forget` afterwards."""

    def __init__(self, store: sqlite3.Connection, *, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now
        self._started = 0
        self._tidy()

    def result(self, client_id: str) -> SendResult | None:
        """The outcome of an earlier send, None when there was none. Raises `OutcomeUnknownError`."""
        row = self._store.execute(
            "SELECT message_id, timestamp, unconfirmed FROM sends WHERE client_id = ?", (client_id,)
        ).fetchone()
        if row is None:
            return None
        message_id, timestamp, unconfirmed = row
        if message_id is None:
            raise OutcomeUnknownError(f"whether {client_id} was sent is unknown: the bot stopped while sending it")
        return SendResult(
            message_id=message_id,
            timestamp=datetime.fromisoformat(timestamp),
            repeated=True,
            unconfirmed=bool(unconfirmed),
        )

    def start(self, client_id: str, recipient: str, secret: bytes) -> None:
        """Record the intent to send, durable even in a power cut."""
        self._started += 1
        if self._started % _TIDY_EVERY == 0:
            self._tidy()
        self._store.execute("PRAGMA synchronous = FULL")
        try:
            self._store.execute(
                "INSERT INTO sends (client_id, started, recipient, secret) VALUES (?, ?, ?, ?)",
                (client_id, self._now(), recipient, secret),
            )
        finally:
            self._store.execute("PRAGMA synchronous = NORMAL")

    def note_state(self, client_id: str, state: bytes | None) -> None:
        """Record the encryption state of the chat right before the message is sent; None when unknown."""
        self._store.execute("UPDATE sends SET state = ? WHERE client_id = ?", (state, client_id))

    def finish(self, client_id: str, message_id: str, timestamp: datetime, *, unconfirmed: bool = False) -> SendResult:
        """Record that WhatsApp accepted the message, or most probably did (`unconfirmed`)."""
        self._store.execute(
            "UPDATE sends SET message_id = ?, timestamp = ?, unconfirmed = ? WHERE client_id = ?",
            (message_id, timestamp.astimezone(UTC).isoformat(), unconfirmed, client_id),
        )
        return SendResult(message_id=message_id, timestamp=timestamp, repeated=False, unconfirmed=unconfirmed)

    def forget(self, client_id: str) -> None:
        """Record that nothing was sent: the id is free again, and does not count for the rate limit."""
        self._store.execute("DELETE FROM sends WHERE client_id = ?", (client_id,))

    def times(self, recipient: str, *, within_seconds: float) -> list[float]:
        """The timestamps of messages sent to one recipient in the last `within_seconds`."""
        rows = self._store.execute(
            "SELECT started FROM sends WHERE recipient = ? AND started > ?", (recipient, self._now() - within_seconds)
        )
        return [started for (started,) in rows]

    def counts(self, *, within_seconds: float) -> dict[str, int]:
        """The number of messages sent to each recipient in the last `within_seconds`."""
        return dict(
            self._store.execute(
                "SELECT recipient, count(*) FROM sends WHERE started > ? AND recipient IS NOT NULL GROUP BY recipient",
                (self._now() - within_seconds,),
            ).fetchall()
        )

    def forget_repeatable(self) -> None:
        """Free the ids of repeatable messages that were in flight when the last process ended."""
        self._store.execute("DELETE FROM sends WHERE message_id IS NULL AND secret = ?", (REPEATABLE,))

    def unsettled(self) -> list[Unsettled]:
        """Messages that were in flight when the last process ended, and can be settled."""
        rows = self._store.execute(
            "SELECT client_id, recipient, secret, state FROM sends"
            " WHERE message_id IS NULL AND secret IS NOT NULL AND secret != ?",
            (REPEATABLE,),
        )
        return [Unsettled(*row) for row in rows]

    def settle(self, sent: dict[str, str]) -> None:
        """Settle all unsettled messages: `sent` maps client ids to message ids, all others were never sent.

        Only before this process sends anything.
        """
        with self._store:
            self._store.execute("BEGIN")
            for client_id in (unsettled.client_id for unsettled in self.unsettled()):
                if client_id in sent:
                    self._store.execute(
                        "UPDATE sends SET message_id = ?, timestamp = ?, unconfirmed = 1 WHERE client_id = ?",
                        (sent[client_id], self._began(client_id), client_id),
                    )
                else:
                    self.forget(client_id)

    def lose_evidence(self) -> None:
        """The session is gone, and with it the evidence: the outcome of unsettled messages stays unknown."""
        self._store.execute("UPDATE sends SET secret = NULL WHERE message_id IS NULL AND secret != ?", (REPEATABLE,))

    def _began(self, client_id: str) -> str:
        (started,) = self._store.execute("SELECT started FROM sends WHERE client_id = ?", (client_id,)).fetchone()
        return datetime.fromtimestamp(started, UTC).isoformat()

    def _tidy(self) -> None:
        self._store.execute("DELETE FROM sends WHERE started < ?", (self._now() - RETENTION_SECONDS,))
