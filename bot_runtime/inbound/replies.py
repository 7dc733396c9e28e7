"""Answers of the bot's own accord: tried again when the connection was away, recorded when they fail."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from bot_runtime.contract import EventType
from bot_runtime.storage.spool import Spool
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import WhatsAppError

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0

Reply = Callable[[Address, str], Awaitable[object]]


class Answers:
    """Sends texts through `reply`; `connected` is to be called with every new connection."""

    def __init__(self, reply: Reply, spool: Spool, *, patience: float = PATIENCE_SECONDS) -> None:
        self._reply = reply
        self._spool = spool
        self._patience = patience
        self._next_connection = asyncio.Event()

    def connected(self) -> None:
        """Try again what could not be sent."""
        self._next_connection.set()
        self._next_connection = asyncio.Event()

    async def send(self, chat: Address, text: str) -> None:
        """Send a text; a failure is recorded, not raised."""
        try:
            async with asyncio.timeout(self._patience):
                while not await self._sent(chat, text):
                    pass
        except (WhatsAppError, TimeoutError) as error:
            reason = str(error) or "WhatsApp was away for too long"
            log.warning("an answer could not be sent: %s", reason)
            self._spool.append(EventType.ERROR, {"code": "reply-failed", "message": reason})

    async def _sent(self, chat: Address, text: str) -> bool:
        next_connection = self._next_connection
        try:
            await self._reply(chat, text)
        except WhatsAppError as error:
            if not error.away:
                raise
            log.info("an answer waits for the connection: %s", error)
            await next_connection.wait()
            return False
        return True
