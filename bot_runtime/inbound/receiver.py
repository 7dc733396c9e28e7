"""The pipeline of one bot: receive, take out duplicates, record, then commands and hooks.

Recording happens at once and in order of arrival. Commands and hooks run after it, in a queue per chat (`queues.py`).
"""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol

from bot_runtime.contract import EventType
from bot_runtime.inbound.event_data import ack_data, call_data, message_data, presence_data
from bot_runtime.inbound.queues import ChatQueues
from bot_runtime.inbound.recent import Recent
from bot_runtime.inbound.seen import Seen
from bot_runtime.storage.spool import Spool
from bot_runtime.whatsapp.messages import Ack, Arrival, Call, GroupChange, Incoming, Presence

log = logging.getLogger(__name__)

MAX_AGE = timedelta(minutes=10)
"""Older messages are recorded but nothing is done about them: nobody waits for the answer any more."""
_CLOCK_SLACK = timedelta(seconds=5)


class KeepMedia(Protocol):
    """Remembers how to fetch the file of a message: `Media.keep`."""

    def __call__(
        self, message_id: str, reference: bytes, *, mimetype: str, size: int, file_name: str | None
    ) -> None: ...


class Handler(Protocol):
    """Something that is done about messages."""

    name: str

    def wants(self, message: Incoming, *, fresh: bool) -> bool:
        """Whether to handle this message; must be quick. `fresh` is False for what waited too long."""

    async def handle(self, message: Incoming) -> None:
        """Do it; what is raised is recorded and otherwise ignored."""


class Receiver:
    """Takes what arrives; `received` counts messages."""

    def __init__(
        self,
        spool: Spool,
        recent: Recent,
        handlers: Sequence[Handler],
        *,
        group_changed: Callable[[GroupChange], None],
        details: Callable[[Incoming], dict[str, Any]],
        keep_media: KeepMedia,
        keep_files: Callable[[], bool],
        paired_at: Callable[[], datetime | None],
        seen: Seen | None = None,
        queues: ChatQueues | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._spool = spool
        self._recent = recent
        self._handlers = handlers
        self._group_changed = group_changed
        self._details = details
        self._keep_media = keep_media
        self._keep_files = keep_files
        self._paired_at = paired_at
        self._queues = queues or ChatQueues()
        self._now = now
        self.seen = seen or Seen()
        self.received = 0

    def take(self, arrival: Arrival) -> None:
        """Record what arrived, and start what is to be done about it."""
        match arrival:
            case Incoming():
                self._message(arrival)
            case Ack():
                self._spool.append(EventType.MESSAGE_ACK, ack_data(arrival))
            case Presence():
                self._spool.append(EventType.PRESENCE_UPDATE, presence_data(arrival))
            case Call():
                self._spool.append(EventType.CALL, call_data(arrival))
            case GroupChange():
                self._group_changed(arrival)

    def connected(self) -> None:
        """Begin with what is to be done about messages: before the first connection nothing can be."""
        self._queues.release()

    @property
    def busy(self) -> bool:
        """Whether anything is being done about a message."""
        return self._queues.chats > 0

    def close(self) -> None:
        """Give up what is under way."""
        self._queues.close()

    def _message(self, message: Incoming) -> None:
        if not self.seen.first(f"{message.chat}/{message.id}") or not self._remember(message):
            log.info("Skipping duplicate message %s (already processed in this container)", message.id)
            return
        log.info("Processing message %s (first time in container)", message.id)
        self.received += 1
        self._spool.append(EventType.MESSAGE_UPSERT, message_data(message, **self._details(message)))
        fresh = self._is_fresh(message)
        handlers = [handler for handler in self._handlers if handler.wants(message, fresh=fresh)]
        if handlers and not self._queues.put(str(message.chat), partial(self._handle, message, handlers)):
            log.warning("message %s is recorded but not handled: too many wait", message.id)
            self._spool.append(EventType.ERROR, {"code": "overloaded", "message": f"{message.id} was not handled"})

    def _remember(self, message: Incoming) -> bool:
        try:
            self._keep_file(message)
            return self._recent.remember(message, with_file=self._keep_files())
        except sqlite3.OperationalError as error:  # a full disk: the message counts all the same
            log.warning("message %s will not be remembered: %s", message.id, error)
            return True

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
        paired_at = self._paired_at()
        if paired_at is not None and message.timestamp < paired_at - _CLOCK_SLACK:
            return False
        return self._now() - message.timestamp <= MAX_AGE

    async def _handle(self, message: Incoming, handlers: Sequence[Handler]) -> None:
        for handler in handlers:
            try:
                await handler.handle(message)
            except Exception as error:
                log.exception("%s failed on message %s", handler.name, message.id)
                text = f"{handler.name} failed: {type(error).__name__}"
                self._spool.append(EventType.ERROR, {"code": "handler-failed", "message": text})
