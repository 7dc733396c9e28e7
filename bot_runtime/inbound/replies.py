"""Replies of the bot itself: retried after the connection was lost, recorded when they fail."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from bot_runtime.contract import EventType
from bot_runtime.storage.spool import Spool
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import WhatsAppError

log = logging.getLogger(__name__)

RETRY_SECONDS = 60.0

Reply = Callable[[Address, str], Awaitable[object]]


class Replies:
    """Sends texts through `reply`; call `connected` with every new connection."""

    def __init__(self, reply: Reply, spool: Spool, *, retry_seconds: float = RETRY_SECONDS) -> None:
        self._reply = reply
        self._spool = spool
        self._retry_seconds = retry_seconds
        self._next_connection = asyncio.Event()

    def connected(self) -> None:
        """Retry the replies that could not be sent."""
        self._next_connection.set()
        self._next_connection = asyncio.Event()

    async def send(self, chat: Address, text: str) -> None:
        """Send a text; a failure is recorded, not raised."""
        try:
            async with asyncio.timeout(self._retry_seconds):
                while not await self._sent(chat, text):
                    pass
        except (WhatsAppError, TimeoutError) as exc:
            reason = str(exc) or "there was no connection for too long"
            log.warning("a reply could not be sent: %s", reason)
            self._spool.append(EventType.ERROR, {"code": "reply-failed", "message": reason})

    async def _sent(self, chat: Address, text: str) -> bool:
        next_connection = self._next_connection
        try:
            await self._reply(chat, text)
        except WhatsAppError as exc:
            if not exc.disconnected:
                raise
            log.info("a reply waits for the connection: %s", exc)
            await next_connection.wait()
            return False
        return True
