"""What was sent under which client id, so that a message asked for twice goes out once.

neonize lets nobody choose WhatsApp's message id, so what was under way when the process died must be found out
afterwards. Every message carries a secret of 32 random bytes (WhatsApp's own clients do the same, for polls and
reports), and whatsmeow writes it down durably, with the message id, before anything leaves; and before a message is
sent it is noted how the encryption with its chat stands (`whatsapp/evidence.py`). So at the next start (`settle`):

    the secret is not in the session file        nothing was sent: the client id is free again
    it is there, and nothing was encrypted since nothing was sent either
    it is there, and something was encrypted     the id is known, and the message has gone out, unless the process
                                                 died in the very moment between: `unconfirmed`, until an
                                                 acknowledgement comes for it
    the session is another one now               nobody knows any more: `OutcomeUnknownError` for ever

Silence is repaired by a person, a message sent twice is not. All methods belong to the event loop's thread.
"""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from bot_runtime.contract import SendResult

KEPT_SECONDS = 7 * 86400.0
_TIDY_EVERY = 1000
REPEATABLE = b""
"""The secret of what may be sent twice without harm: a reaction takes the place of the one before."""


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A message that was under way; `state` is what was noted of its chat, None when it had not come so far."""

    client_id: str
    recipient: str
    secret: bytes
    state: bytes | None


class OutcomeUnknownError(Exception):
    """The process ended while this message was being sent: it may or may not have gone out."""


class Outbox:
    """Durable record of client ids; `start` before sending, `finish` or `forget` after."""

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
            raise OutcomeUnknownError(f"whether {client_id} was sent is unknown: the bot stopped meanwhile")
        return SendResult(
            message_id=message_id,
            timestamp=datetime.fromisoformat(timestamp),
            repeated=True,
            unconfirmed=bool(unconfirmed),
        )

    def start(self, client_id: str, recipient: str, secret: bytes) -> None:
        """Record the intent to send, so that not even a power cut forgets it."""
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
        """Record how the encryption with the chat stands right before the message is sent; None when unknown."""
        self._store.execute("UPDATE sends SET state = ? WHERE client_id = ?", (state, client_id))

    def finish(self, client_id: str, message_id: str, timestamp: datetime, *, unconfirmed: bool = False) -> SendResult:
        """Record that WhatsApp took the message, or most probably did."""
        self._store.execute(
            "UPDATE sends SET message_id = ?, timestamp = ?, unconfirmed = ? WHERE client_id = ?",
            (message_id, timestamp.astimezone(UTC).isoformat(), unconfirmed, client_id),
        )
        return SendResult(message_id=message_id, timestamp=timestamp, repeated=False, unconfirmed=unconfirmed)

    def forget(self, client_id: str) -> None:
        """Record that nothing was sent: the id may be used again, and its place in the rate limit."""
        self._store.execute("DELETE FROM sends WHERE client_id = ?", (client_id,))

    def times(self, recipient: str, *, within: float) -> list[float]:
        """When messages were sent to one recipient, in the last `within` seconds."""
        rows = self._store.execute(
            "SELECT started FROM sends WHERE recipient = ? AND started > ?", (recipient, self._now() - within)
        )
        return [started for (started,) in rows]

    def counts(self, *, within: float) -> dict[str, int]:
        """How many messages were sent to each recipient in the last `within` seconds."""
        return dict(
            self._store.execute(
                "SELECT recipient, count(*) FROM sends WHERE started > ? AND recipient IS NOT NULL GROUP BY recipient",
                (self._now() - within,),
            ).fetchall()
        )

    def forget_repeatable(self) -> None:
        """Free the ids of what was under way when the last process ended and may be sent twice."""
        self._store.execute("DELETE FROM sends WHERE message_id IS NULL AND secret = ?", (REPEATABLE,))

    def unsettled(self) -> list[Unsettled]:
        """What was under way when the process before this one ended, and can be decided."""
        rows = self._store.execute(
            "SELECT client_id, recipient, secret, state FROM sends"
            " WHERE message_id IS NULL AND secret IS NOT NULL AND secret != ?",
            (REPEATABLE,),
        )
        return [Unsettled(*row) for row in rows]

    def settle(self, left: dict[str, str]) -> None:
        """Decide about all that is unsettled: `left` maps client ids to message ids, what is not in it was never sent.

        Only before anything is sent in this process.
        """
        with self._store:
            self._store.execute("BEGIN")
            for client_id in (unsettled.client_id for unsettled in self.unsettled()):
                if client_id in left:
                    self._store.execute(
                        "UPDATE sends SET message_id = ?, timestamp = ?, unconfirmed = 1 WHERE client_id = ?",
                        (left[client_id], self._began(client_id), client_id),
                    )
                else:
                    self.forget(client_id)

    def lose_evidence(self) -> None:
        """The session is gone, and with it all trace of what was sent with it: what is open stays so for ever."""
        self._store.execute("UPDATE sends SET secret = NULL WHERE message_id IS NULL AND secret != ?", (REPEATABLE,))

    def _began(self, client_id: str) -> str:
        (started,) = self._store.execute("SELECT started FROM sends WHERE client_id = ?", (client_id,)).fetchone()
        return datetime.fromtimestamp(started, UTC).isoformat()

    def _tidy(self) -> None:
        self._store.execute("DELETE FROM sends WHERE started < ?", (self._now() - KEPT_SECONDS,))
