"""From Go's threads to the event loop: what the library reports is decoded, queued in order, and handed over.

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

log = logging.getLogger(__name__)
library_log = logging.getLogger("whatsmeow")


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


Item = Status | Account | Arrival | QrCode | PairingEnd | End


class Inbox:
    """Owns the core and receives all it reports."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._early: list[Item] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._receive: Callable[[Item], None] | None = None
        self.core = core.Core(
            on_event=self._event,
            on_qr=lambda text: self._put(QrCode(text)),
            on_pairing_end=lambda how: self._put(PairingEnd(how)),
            on_log=self._log,
            on_end=lambda error: self._put(End(error)),
        )

    def attach(self, loop: asyncio.AbstractEventLoop, receive: Callable[[Item], None]) -> None:
        """From now on call `receive` on `loop`, first with what came before."""
        with self._lock:
            self._loop, self._receive = loop, receive
            early, self._early = self._early, []
            for item in early:
                loop.call_soon(receive, item)

    def _put(self, item: Item) -> None:
        with self._lock:
            if self._loop is None or self._receive is None:
                self._early.append(item)
            else:
                self._loop.call_soon_threadsafe(self._receive, item)

    def _event(self, code: int, data: bytes) -> None:
        status = WITHOUT_CONTENT.get(code)
        if status is not None:
            self._put(status)
        elif code in core.WITH_CONTENT:
            self._decode(code, data)

    def _decode(self, code: int, data: bytes) -> None:
        from bot_runtime.whatsapp import decode

        try:
            decoded = decode.decode(code, data)
        except Exception:  # a raise would end in Go, which ignores it
            log.exception("event %d of the library could not be read", code)
            return
        if decoded is not None:
            self._put(decoded)

    def _log(self, data: bytes) -> None:
        from bot_runtime.whatsapp import decode

        level, name, message = decode.log_entry(data)
        library_log.log(logging.getLevelNamesMapping().get(level, logging.INFO), "%s: %s", name, message)
