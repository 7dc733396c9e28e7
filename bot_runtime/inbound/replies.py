"""Replies of the bot itself: retried after the connection was lost, unless they may have been sent.

Those that fail are recorded as events.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from bot_runtime.contract import EventType
from bot_runtime.outbound.delivery import MaybeSentError
from bot_runtime.storage.spool import Spool
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import WhatsAppError

log = logging.getLogger(__name__)

RETRY_SECONDS = 60.0

Reply = Callable[[Address, str], Awaitable[object]]
Forward = Callable[[Address, bytes], Awaitable[object]]


class Replies:
    """Sends texts through `reply`, files through `forward`; call `connected` with every new connection."""

    def __init__(self, reply: Reply, forward: Forward, spool: Spool, *, retry_seconds: float = RETRY_SECONDS) -> None:
        self._reply = reply
        self._forward = forward
        self._spool = spool
        self._retry_seconds = retry_seconds
        self._next_connection = asyncio.Event()

    def connected(self) -> None:
        """Retry the replies that could not be sent."""
        self._next_connection.set()
        self._next_connection = asyncio.Event()

    async def send(self, chat: Address, text: str) -> None:
        """Send a text; a failure is recorded, not raised."""
        await self._send(partial(self._reply, chat, text))

    async def forward(self, chat: Address, file: bytes) -> None:
        """Send the file of a received message; a failure is recorded, not raised."""
        await self._send(partial(self._forward, chat, file))

    async def _send(self, attempt: Callable[[], Awaitable[object]]) -> None:
        deadline = asyncio.get_running_loop().time() + self._retry_seconds
        while True:
            next_connection = self._next_connection
            try:
                await attempt()
                return
            except MaybeSentError as exc:
                self._record("reply-unconfirmed", f"a reply may have been sent: {exc}")
                return
            except WhatsAppError as exc:
                if not exc.disconnected:
                    self._record("reply-failed", str(exc))
                    return
                log.info("a reply waits for the connection: %s", exc)
            try:
                async with asyncio.timeout_at(deadline):
                    await next_connection.wait()
            except TimeoutError:
                self._record("reply-failed", f"there was no connection for {self._retry_seconds:g} s")
                return

    def _record(self, code: str, message: str) -> None:
        log.warning("%s: %s", code, message)
        self._spool.append(EventType.ERROR, {"code": code, "message": message})
