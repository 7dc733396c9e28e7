"""The pipeline of received messages: drop duplicates, record, then run commands and hooks.

Recording happens immediately and in order of arrival. Commands and hooks run afterwards, in a queue per chat
(`queues.py`).
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

from bot_runtime.contract import EventType
from bot_runtime.inbound.event_data import call_data, message_data, presence_data, receipt_data
from bot_runtime.inbound.queues import ChatQueues
from bot_runtime.inbound.recent import Recent
from bot_runtime.inbound.seen import Seen
from bot_runtime.inbound.server_clock import ServerClock
from bot_runtime.storage.spool import Spool
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import Arrival, BacklogUpdate, Call, GroupChange, Incoming, Presence, ReceiptUpdate

log = logging.getLogger(__name__)

MAX_AGE = timedelta(minutes=10)
"""Older messages are recorded but not answered: nobody waits for the answer any more."""
_CLOCK_SLACK = timedelta(seconds=5)


class KeepMedia(Protocol):
    """Stores how to fetch the file of a message: `MediaDownloads.keep`."""

    def __call__(
        self, message_id: str, reference: bytes, *, mimetype: str, size: int, file_name: str | None
    ) -> None: ...


class Handler(Protocol):
    """A command runner or hook: something that reacts to messages."""

    name: str

    def wants(self, message: Incoming, *, fresh: bool) -> bool:
        """Whether to handle this message; must be fast. `fresh` is False for messages that are too old to answer."""

    async def handle(self, message: Incoming) -> None:
        """Handle the message. Exceptions are recorded as events and otherwise ignored."""


class Receiver:
    """Records arrivals, and dispatches messages to `handlers` once they are stored; `received` counts messages."""

    def __init__(
        self,
        spool: Spool,
        recent: Recent,
        handlers: Sequence[Handler],
        *,
        group_changed: Callable[[GroupChange], None],
        group_seen: Callable[[Address], None],
        details: Callable[[Incoming], dict[str, Any]],
        keep_media: KeepMedia,
        keep_files: Callable[[], bool],
        paired_at: Callable[[], datetime | None],
        seen: Seen | None = None,
        queues: ChatQueues | None = None,
        clock: ServerClock | None = None,
    ) -> None:
        self._spool = spool
        self._recent = recent
        self._handlers = handlers
        self._group_changed = group_changed
        self._group_seen = group_seen
        self._details = details
        self._keep_media = keep_media
        self._keep_files = keep_files
        self._paired_at = paired_at
        self._queues = queues or ChatQueues()
        self.clock = clock or ServerClock()
        self._live = False
        """Whether messages are delivered when they are sent; before, WhatsApp delivers what it has stored."""
        self.seen = seen or Seen()
        self.received = 0
        self._uncommitted: list[str] = []
        """The keys in `seen` of the current transaction."""
        self._recorded: list[tuple[Incoming, bool]] = []
        """The messages of the current transaction, and whether they are fresh."""
        self._was_live = False
        """`_live` at the end of the last transaction."""

    def take(self, arrival: Arrival) -> None:
        """Record an arrival. The handlers of a message are queued by `finish`."""
        match arrival:
            case Incoming():
                self._message(arrival)
            case ReceiptUpdate():
                self._spool.append(EventType.MESSAGE_ACK, receipt_data(arrival))
            case Presence():
                self._spool.append(EventType.PRESENCE_UPDATE, presence_data(arrival))
            case Call():
                self._spool.append(EventType.CALL, call_data(arrival))
            case GroupChange():
                self._group_changed(arrival)
            case BacklogUpdate():
                self._live = arrival.delivered

    def finish(self, *, committed: bool) -> None:
        """The transaction has ended in which arrivals were recorded; if not `committed`, they will be taken again."""
        keys, self._uncommitted = self._uncommitted, []
        messages, self._recorded = self._recorded, []
        if not committed:
            self._live = self._was_live
            for key in keys:
                self.seen.withdraw(key)
            return
        self._was_live = self._live
        for message, fresh in messages:
            try:
                self._dispatch(message, fresh=fresh)
            except Exception:  # one message that cannot be handled must not block the others
                log.exception("message %s could not be handled", message.id)

    def connected(self) -> None:
        """Start the handlers: before the first connection none of them could send."""
        self._queues.release()

    @property
    def busy(self) -> bool:
        """Whether any message is being handled."""
        return self._queues.chats > 0

    def close(self) -> None:
        """Cancel the handlers."""
        self._queues.close()

    def _message(self, message: Incoming) -> None:
        if message.is_group:
            self._group_seen(message.chat)
        key = f"{message.chat}/{message.id}"
        if not self.seen.first(key) or not self._remember(key, message):
            log.info("Skipping duplicate message %s (already processed in this container)", message.id)
            return
        self._spool.append(EventType.MESSAGE_UPSERT, message_data(message, **self._details(message)))
        self._recorded.append((message, self._is_fresh(message)))

    def _dispatch(self, message: Incoming, *, fresh: bool) -> None:
        log.info("Processing message %s (first time in container)", message.id)
        self.received += 1
        handlers = [handler for handler in self._handlers if handler.wants(message, fresh=fresh)]
        if handlers and not self._queues.put(str(message.chat), partial(self._handle, message, handlers)):
            log.warning("message %s is recorded but not handled: the queues are full", message.id)
            self._spool.append(
                EventType.ERROR,
                {"code": "overloaded", "message": f"message {message.id} was not handled: the queues are full"},
            )

    def _remember(self, key: str, message: Incoming) -> bool:
        self._uncommitted.append(key)
        self._keep_file(message)
        return self._recent.remember(message, with_file=self._keep_files())

    def _keep_file(self, message: Incoming) -> None:
        content = message.content
        media = content.details.get("media")
        if content.file and media is not None:
            self._keep_media(
                message.id,
                content.file,
                mimetype=media["mimetype"],
                size=media["size"],
                file_name=media.get("fileName"),
            )

    def _is_fresh(self, message: Incoming) -> bool:
        """Whether somebody waits for an answer. The wall clock decides at most about what waited for the bot."""
        at, now, known = message.timestamp, self.clock.now(), self.clock.known
        in_time = now - at <= MAX_AGE
        if self._live:
            self.clock.heard(at)
            return in_time or not known
        paired_at = self._paired_at()
        before_pairing = paired_at is not None and at < paired_at - _CLOCK_SLACK and paired_at <= now
        return in_time and not before_pairing

    async def _handle(self, message: Incoming, handlers: Sequence[Handler]) -> None:
        for handler in handlers:
            try:
                await handler.handle(message)
            except Exception as exc:
                log.exception("%s failed on message %s", handler.name, message.id)
                text = f"{handler.name} failed: {type(exc).__name__}"
                self._spool.append(EventType.ERROR, {"code": "handler-failed", "message": text})
