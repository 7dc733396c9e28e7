"""From Go's threads to the event loop: queues what the library reports, in order.

What nobody sends again (messages, receipts, changes of groups, calls) is written to the journal first, see
`storage/journal.py`; the loop is only notified. It is decoded on the loop: a SIGKILL loses the events that wait in Go
for this callback, so the callback is as short as possible.

Imports little: it is set up before everything else, so that connecting starts at once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot_runtime.whatsapp import core, event_codes
from bot_runtime.whatsapp.messages import BACKLOG, WITHOUT_CONTENT, Account, Arrival, ConnectionReport

if TYPE_CHECKING:
    import asyncio

    from bot_runtime.storage.journal import Journal

log = logging.getLogger(__name__)
library_log = logging.getLogger("whatsmeow")

JOURNALED = frozenset(
    {
        event_codes.MESSAGE, event_codes.RECEIPT, event_codes.JOINED_GROUP, event_codes.GROUP_INFO,
        event_codes.CALL_OFFER, event_codes.CALL_ACCEPT, event_codes.CALL_OFFER_NOTICE, event_codes.CALL_TERMINATE,
        event_codes.OFFLINE_SYNC_PREVIEW, event_codes.OFFLINE_SYNC_COMPLETED,
    }
)  # fmt: skip
"""Events that nobody sends again are journaled, and so is what their order matters to. The others are transient."""
_LISTENING = 0
"""neonize's own event: it has a client, and everything else arrives through the callback."""


@dataclass(frozen=True, slots=True)
class Raw:
    """An event with content that is not in the journal, undecoded."""

    code: int
    data: bytes


@dataclass(frozen=True, slots=True)
class QrCode:
    """A QR code to show."""

    text: str


@dataclass(frozen=True, slots=True)
class PairingEnd:
    """The QR phase ended: "success", "timeout" or an error."""

    how: str


@dataclass(frozen=True, slots=True)
class End:
    """The call of `Core.connect` returned."""

    error: str


Item = ConnectionReport | Raw | QrCode | PairingEnd | End


class Inbox:
    """Owns the core and the journal, and receives everything that the core reports."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._lock = threading.Lock()
        self._early: list[Item] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._receive: Callable[[Item], None] | None = None
        self._on_journal: Callable[[], None] | None = None
        self._notified = False
        """The loop has been notified of the journal, and has not started to read it."""
        self.core = core.Core(
            on_event=self._event,
            on_qr=lambda text: self._put(QrCode(text)),
            on_pairing_end=lambda how: self._put(PairingEnd(how)),
            on_log=self._log,
            on_end=lambda error: self._put(End(error)),
        )

    def attach(
        self, loop: asyncio.AbstractEventLoop, receive: Callable[[Item], None], on_journal: Callable[[], None]
    ) -> None:
        """From now on call `receive` on `loop`, first with what is queued, and `on_journal` when the journal has grown.

        `on_journal` is also called when the library starts to listen: the previous process may have left arrivals.
        """
        with self._lock:
            self._loop, self._receive, self._on_journal = loop, receive, on_journal
            early, self._early = self._early, []
            for item in early:
                loop.call_soon(receive, item)
            if self._notified:
                loop.call_soon(self._notify)

    def _put(self, item: Item) -> None:
        with self._lock:
            if self._loop is None or self._receive is None:
                self._early.append(item)
            else:
                self._loop.call_soon_threadsafe(self._receive, item)

    def _event(self, code: int, data: bytes) -> None:
        if code in JOURNALED:
            self.journal.append(code, data)
            self._notify_soon()
        elif code == _LISTENING:
            self._notify_soon()
        elif (status := WITHOUT_CONTENT.get(code)) is not None:
            self._put(status)
        elif code in event_codes.WITH_CONTENT:
            self._put(Raw(code, data))

    def _notify_soon(self) -> None:
        with self._lock:
            if self._notified:
                return
            self._notified = True
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._notify)

    def _notify(self) -> None:
        self._notified = False  # before reading: what is appended from here on notifies again
        if self._on_journal is not None:
            self._on_journal()

    def _log(self, data: bytes) -> None:
        from bot_runtime.whatsapp import decode

        level, name, message = decode.log_entry(data)
        library_log.log(logging.getLevelNamesMapping().get(level, logging.INFO), "%s: %s", name, message)


def read(code: int, data: bytes) -> ConnectionReport | Account | Arrival | None:
    """Decode an event of the library; None for events that the bot ignores or that cannot be decoded."""
    if code in BACKLOG:  # avoids the import
        return BACKLOG[code]
    from bot_runtime.whatsapp import decode

    try:
        return decode.decode(code, data)
    except Exception:
        log.exception("event %d of the library could not be decoded", code)
        return None
