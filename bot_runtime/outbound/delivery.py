"""Hands messages to WhatsApp one after another, and determines the outcome of those whose sending failed.

An error alone does not say whether a message was sent, because the library reports errors before and after sending it.
So only evidence counts: what the session file shows (`whatsapp/evidence.py`), or an error that excludes it. Without
evidence the outcome is unknown.
"""

import asyncio
import logging
from collections.abc import Callable

from bot_runtime.whatsapp.messages import SentMessage, WhatsAppError
from bot_runtime.whatsapp.outgoing import OutgoingMessage, Transport

log = logging.getLogger(__name__)

STUCK_SECONDS = 400.0
"""More than the library's time limits of a send together, 75 s for each of its requests. A resend has none."""


class NotSentError(WhatsAppError):
    """Nothing was sent, as proven by evidence."""


class MaybeSentError(WhatsAppError):
    """The message may have been sent; `message_id` is the id it was sent with in that case, None when unknown."""

    def __init__(self, message: str, message_id: str | None) -> None:
        super().__init__(message)
        self.message_id = message_id


class Delivery:
    """Sends in the order of the calls, through `transport`."""

    def __init__(self, transport: Transport, *, stuck_seconds: float = STUCK_SECONDS) -> None:
        self._transport = transport
        self._stuck_seconds = stuck_seconds
        # The library sends one by one, too. With a lock here, nothing is encrypted between reading the state of the
        # chat and sending the message, and the order is that of the calls.
        self._one_by_one = asyncio.Lock()

    async def deliver(self, message: OutgoingMessage, note_state: Callable[[bytes | None], None]) -> SentMessage:
        """Send a message; must not be cancelled. Raises `NotSentError`, `MaybeSentError`.

        `note_state` is called with the encryption state of the chat right before the message is sent. What it raises is
        raised, and nothing is sent.
        """
        async with self._one_by_one:
            before = await asyncio.to_thread(self._transport.chat_state, message.chat)
            note_state(before)
            try:
                return await self._send(message)
            except Exception as exc:
                if isinstance(exc, WhatsAppError) and exc.excludes_sending:
                    raise NotSentError(str(exc)) from exc
                if not isinstance(exc, WhatsAppError):
                    log.exception("sending a message failed")
                trace = await asyncio.to_thread(self._transport.trace, message, before)
                reason = str(exc) or type(exc).__name__
                if trace is not None and trace.unsent:
                    raise NotSentError(reason) from exc
                raise MaybeSentError(reason, None if trace is None else trace.message_id) from exc

    async def _send(self, message: OutgoingMessage) -> SentMessage:
        """A send that hangs would block all others: after a while it loses its connection, and fails."""
        sending = asyncio.create_task(asyncio.to_thread(self._transport.send, message))
        while not (await asyncio.wait((sending,), timeout=self._stuck_seconds))[0]:
            log.warning("a send has not ended within %g s: cutting the connection", self._stuck_seconds)
            await asyncio.to_thread(self._transport.cut_connections)
        return await sending
