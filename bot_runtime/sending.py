"""Sending texts: off the event loop, once per client id, answered in bounded time."""

import asyncio
from collections.abc import Callable

import msgspec

from bot_runtime.contract import SendRequest, SendResult, Text
from bot_runtime.errors import ApiError
from bot_runtime.outbox import Outbox, OutcomeUnknownError
from bot_runtime.whatsapp.jid import Address, parse_address
from bot_runtime.whatsapp.messages import Sent, WhatsAppError

SEND_SECONDS = 30.0

_MAYBE_SENT = ("timed out waiting for message send response", "disconnected before message send")
"""Errors of whatsmeow after which the message may have gone out. All others come before sending, or are a refusal."""

Send = Callable[[Address, str], Sent]


class Sender:
    """Sends through `send`, which blocks; `busy` tells whether anything is under way."""

    def __init__(self, outbox: Outbox, send: Send, *, timeout: float = SEND_SECONDS) -> None:
        self._outbox = outbox
        self._send = send
        self._timeout = timeout
        self._running: dict[str, asyncio.Task[SendResult]] = {}
        self._replies = 0
        self.sent = 0
        self.failed = 0

    @property
    def busy(self) -> bool:
        return bool(self._running) or self._replies > 0

    def known(self, client_id: str) -> bool:
        """Whether this id has been used: it is answered without sending, in any state of the connection."""
        try:
            return client_id in self._running or self._outbox.result(client_id) is not None
        except OutcomeUnknownError:
            return True

    async def send(self, request: SendRequest) -> SendResult:
        """Send once per client id; a repetition gets the first result. Raises `ApiError` 400, 409, 502, 504."""
        if not isinstance(request.content, Text):
            raise ApiError(400, "unsupported-content", f"this bot cannot send {type(request.content).__name__}")
        text = request.content.text
        try:
            address = parse_address(request.to)
        except ValueError as error:
            raise ApiError(400, "bad-recipient", str(error)) from error
        task = self._running.get(request.client_id)
        repeated = task is not None
        if task is None:
            try:
                result = self._outbox.result(request.client_id)
            except OutcomeUnknownError as error:
                raise ApiError(409, "outcome-unknown", str(error)) from error
            if result is not None:
                return result
            self._outbox.start(request.client_id)
            task = asyncio.create_task(self._run(request, address, text))
            self._running[request.client_id] = task
            task.add_done_callback(lambda _: self._running.pop(request.client_id))
        try:
            result = await asyncio.wait_for(asyncio.shield(task), self._timeout)
        except TimeoutError:
            raise ApiError(504, "timeout", "WhatsApp has not answered; ask again with the same client id") from None
        return msgspec.structs.replace(result, repeated=True) if repeated else result

    async def reply(self, address: Address, text: str) -> None:
        """Answer a command. Raises `WhatsAppError`."""
        self._replies += 1
        try:
            await asyncio.to_thread(self._send, address, text)
            self.sent += 1
        except WhatsAppError:
            self.failed += 1
            raise
        finally:
            self._replies -= 1

    async def _run(self, request: SendRequest, address: Address, text: str) -> SendResult:
        try:
            sent = await asyncio.to_thread(self._send, address, text)
        except WhatsAppError as error:
            self.failed += 1
            if any(words in str(error) for words in _MAYBE_SENT):
                raise ApiError(504, "outcome-unknown", f"the message may have gone out: {error}") from error
            self._outbox.forget(request.client_id)
            raise ApiError(502, "send-failed", f"WhatsApp refused the message: {error}") from error
        self.sent += 1
        return self._outbox.finish(request.client_id, sent.message_id, sent.timestamp)
