"""From Go's threads to the event loop: what the library reports is queued, in order, and handed over on the loop.

Imports little: it is set up before everything else, so that connecting starts at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bot_runtime.whatsapp.core import Core

if TYPE_CHECKING:
    import asyncio

Item = tuple[str, Any]
"""("event", (code, bytes)), ("qr", text), ("pairing-end", text), ("log", bytes) or ("end", error text)."""


class Inbox:
    """Owns the core and receives all it reports."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._early: list[Item] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._receive: Callable[[Item], None] | None = None
        self.core = Core(
            on_event=lambda code, data: self._put(("event", (code, data))),
            on_qr=lambda text: self._put(("qr", text)),
            on_pairing_end=lambda how: self._put(("pairing-end", how)),
            on_log=lambda data: self._put(("log", data)),
            on_end=lambda error: self._put(("end", error)),
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
