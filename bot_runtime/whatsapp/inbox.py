"""From Go's threads to the event loop: what the library reports is queued in order, and handed over.

What cannot be had again (messages, receipts, changes of groups, calls) goes to the journal before anything else is done
about it, see `storage/journal.py`; the loop is only told that there is more. It is decoded on the loop: what waits in
Go for this callback is what a SIGKILL takes away, so the callback is as short as can be.

Imports little: it is set up before everything else, so that connecting starts at once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot_runtime.whatsapp import core
from bot_runtime.whatsapp.messages import WITHOUT_CONTENT, Account, Arrival, Status

if TYPE_CHECKING:
    import asyncio

    from bot_runtime.storage.journal import Journal

log = logging.getLogger(__name__)
library_log = logging.getLogger("whatsmeow")

KEPT = frozenset(
    {
        core.MESSAGE, core.RECEIPT, core.JOINED_GROUP, core.GROUP_INFO,
        core.CALL_OFFER, core.CALL_ACCEPT, core.CALL_OFFER_NOTICE, core.CALL_TERMINATE,
    }
)  # fmt: skip
"""Events that nobody sends again; the others are of the moment."""
_LISTENING = 0
"""neonize's own event: it has a client, and all that follows arrives through the callback."""


@dataclass(frozen=True, slots=True)
class Raw:
    """An event with content that is not kept, as the library gave it."""

    code: int
    data: bytes


@dataclass(frozen=True, slots=True)
class QrCode:
    """A QR code is to be shown."""

    text: str


@dataclass(frozen=True, slots=True)
class PairingEnd:
    """The QR phase is over: "success", "timeout" or an error."""

    how: str


@dataclass(frozen=True, slots=True)
class End:
    """The call of connect has come back."""

    error: str


Item = Status | Raw | QrCode | PairingEnd | End


class Inbox:
    """Owns the core and the journal, and receives all that the core reports."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._lock = threading.Lock()
        self._early: list[Item] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._receive: Callable[[Item], None] | None = None
        self._on_kept: Callable[[], None] | None = None
        self._told = False
        """The loop is going to look into the journal, and has not begun to."""
        self.core = core.Core(
            on_event=self._event,
            on_qr=lambda text: self._put(QrCode(text)),
            on_pairing_end=lambda how: self._put(PairingEnd(how)),
            on_log=self._log,
            on_end=lambda error: self._put(End(error)),
        )

    def attach(
        self, loop: asyncio.AbstractEventLoop, receive: Callable[[Item], None], kept: Callable[[], None]
    ) -> None:
        """From now on call `receive` on `loop`, first with what came before, and `kept` when the journal has more.

        `kept` is also called when the library begins to listen: a process before this one may have left something.
        """
        with self._lock:
            self._loop, self._receive, self._on_kept = loop, receive, kept
            early, self._early = self._early, []
            for item in early:
                loop.call_soon(receive, item)
            if self._told:
                loop.call_soon(self._tell)

    def _put(self, item: Item) -> None:
        with self._lock:
            if self._loop is None or self._receive is None:
                self._early.append(item)
            else:
                self._loop.call_soon_threadsafe(self._receive, item)

    def _event(self, code: int, data: bytes) -> None:
        if code in KEPT:
            self._keep(code, data)
        elif code == _LISTENING:
            self._tell_soon()
        elif (status := WITHOUT_CONTENT.get(code)) is not None:
            self._put(status)
        elif code in core.WITH_CONTENT:
            self._put(Raw(code, data))

    def _keep(self, code: int, data: bytes) -> None:
        try:
            self.journal.append(code, data)
        except OSError as error:  # a full disk: it is handled all the same
            log.error("an arrival could not be kept for after a crash: %s", error)  # noqa: TRY400
            self._put(Raw(code, data))
        else:
            self._tell_soon()

    def _tell_soon(self) -> None:
        with self._lock:
            if self._told:
                return
            self._told = True
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._told = False  # before looking: what is kept from here on is told of anew
        if self._on_kept is not None:
            self._on_kept()

    def _log(self, data: bytes) -> None:
        from bot_runtime.whatsapp import decode

        level, name, message = decode.log_entry(data)
        library_log.log(logging.getLevelNamesMapping().get(level, logging.INFO), "%s: %s", name, message)


def read(code: int, data: bytes) -> Status | Account | Arrival | None:
    """What an event of the library says; None for what does not matter or cannot be read."""
    from bot_runtime.whatsapp import decode

    try:
        return decode.decode(code, data)
    except Exception:
        log.exception("event %d of the library could not be read", code)
        return None
