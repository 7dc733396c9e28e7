"""Sends messages: off the event loop, once per client id, within the rate limit, with a time limit."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from bot_runtime.contract import FILES, Poll, Reaction, RuntimeConfig, SendRequest, SendResult, Text
from bot_runtime.errors import ApiError, wrong_state
from bot_runtime.files.transfers import Transfers
from bot_runtime.files.uploads import Upload, UploadStore
from bot_runtime.outbound.rate_limit import seconds_until_room
from bot_runtime.outbound.recipients import Recipients
from bot_runtime.outbound.send_log import OutcomeUnknownError, SendLog
from bot_runtime.polls import Polls
from bot_runtime.whatsapp.jid import HIDDEN, PERSON, Address
from bot_runtime.whatsapp.messages import SentMessage, WhatsAppError
from bot_runtime.whatsapp.outgoing import OutgoingMessage, Transport

log = logging.getLogger(__name__)

SEND_SECONDS = 30.0

_MAYBE_SENT = ("timed out waiting for message send response", "disconnected before message send")
"""Errors of whatsmeow after which the message may have been sent. All others occur before, or are a refusal."""
_LOST_WHEN_SENT_AGAIN = "websocket not connected"
"""The whole error when the connection is lost during a resend; before sending, the error has more context."""


class Sender:
    """Sends through `transport`; `busy` is True while anything is in flight."""

    def __init__(
        self,
        send_log: SendLog,
        uploads: UploadStore,
        transport: Transport,
        transfers: Transfers,
        recipients: Recipients,
        polls: Polls,
        *,
        config: Callable[[], RuntimeConfig],
        timeout_seconds: float = SEND_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._send_log = send_log
        self._uploads = uploads
        self._transport = transport
        self._transfers = transfers
        self._recipients = recipients
        self._polls = polls
        self._config = config
        self._timeout_seconds = timeout_seconds
        self._now = now
        self._running: dict[str, asyncio.Task[SendResult]] = {}
        # The library sends one by one, too. With a lock here, nothing is encrypted between reading the state of the
        # chat and sending the message.
        self._one_by_one = asyncio.Lock()
        self._replies = 0
        self.sent = 0
        self.failed = 0

    @property
    def busy(self) -> bool:
        return bool(self._running) or self._replies > 0

    def known(self, client_id: str) -> bool:
        """Whether this id has been used: then `send` returns without sending, in any state of the connection."""
        try:
            return client_id in self._running or self._send_log.result(client_id) is not None
        except OutcomeUnknownError:
            return True

    def rate_window(self) -> dict[str, int]:
        """Messages sent to each recipient within the window of the rate limit."""
        return self._send_log.counts(within_seconds=self._config().rate_limit_window_seconds)

    async def send(self, request: SendRequest) -> SendResult:
        """Send once per client id; a repetition returns the first result.

        Raises `ApiError` 400, 409, 429, 502, 504, 507.
        """
        message = self._recipients.outgoing(request)
        recipient = await self._person(message.chat)
        task = self._running.get(request.client_id)
        repeated = task is not None
        if task is None:
            result = self._earlier(request.client_id)
            if result is not None:
                self._uploads.discard(request.client_id)
                return result
            task = self._start(request, message, recipient)
        try:
            result = await asyncio.wait_for(asyncio.shield(task), self._timeout_seconds)
        except TimeoutError:
            raise ApiError(
                504, "timeout", "WhatsApp did not answer in time; repeat the request with the same client id"
            ) from None
        return msgspec.structs.replace(result, repeated=True) if repeated else result

    async def reply(self, address: Address, text: str) -> SentMessage:
        """Send a text of the bot itself, without a client id and a rate limit. Raises `WhatsAppError`."""
        return await self.send_own(OutgoingMessage(chat=address, content=Text(text=text)))

    async def send_own(self, message: OutgoingMessage) -> SentMessage:
        """Send any message of the bot itself. Raises `WhatsAppError`."""
        self._replies += 1
        try:
            sent = await asyncio.to_thread(self._transport.send, message)
        except WhatsAppError:
            self.failed += 1
            raise
        finally:
            self._replies -= 1
        self.sent += 1
        return sent

    def _earlier(self, client_id: str) -> SendResult | None:
        try:
            return self._send_log.result(client_id)
        except OutcomeUnknownError as exc:
            raise ApiError(409, "outcome-unknown", str(exc)) from exc

    async def _person(self, chat: Address) -> str:
        """A single key for a person, who can be addressed by number and by hidden id."""
        if chat.server != HIDDEN:
            return str(chat)
        number = await asyncio.to_thread(self._transport.number_of, chat.user)
        return str(chat if number is None else Address(number, PERSON))

    def _start(self, request: SendRequest, message: OutgoingMessage, recipient: str) -> asyncio.Task[SendResult]:
        file = self._uploads.find(request.client_id) if isinstance(request.content, FILES) else None
        if isinstance(request.content, FILES) and file is None:
            raise _upload_missing()
        self._check_rate(recipient)
        try:
            self._send_log.start(request.client_id, recipient, message.secret)
        except sqlite3.OperationalError as exc:
            raise ApiError(507, "disk-full", f"the bot's volume cannot be written: {exc}") from exc
        task = asyncio.create_task(self._run(request.client_id, message, file))
        self._running[request.client_id] = task
        task.add_done_callback(lambda _: self._running.pop(request.client_id))
        return task

    def _check_rate(self, recipient: str) -> None:
        config = self._config()
        window_seconds = config.rate_limit_window_seconds
        wait = seconds_until_room(
            self._send_log.times(recipient, within_seconds=window_seconds),
            now=self._now(),
            maximum=config.rate_limit_max,
            window_seconds=window_seconds,
        )
        if wait > 0:
            message = f"at most {config.rate_limit_max} messages to one recipient in {window_seconds:g} s"
            raise ApiError(429, "rate-limited", message, retry_after_seconds=wait)

    async def _run(self, client_id: str, message: OutgoingMessage, file: Upload | None) -> SendResult:
        try:
            if file is not None:
                message = await self._upload(message, file)
            async with self._one_by_one:
                self._send_log.note_state(client_id, await asyncio.to_thread(self._transport.chat_state, message.chat))
                sent = await asyncio.to_thread(self._transport.send, message)
        except FileNotFoundError as exc:
            self._send_log.forget(client_id)
            raise _upload_missing() from exc
        except WhatsAppError as exc:
            maybe_sent = str(exc) == _LOST_WHEN_SENT_AGAIN or any(words in str(exc) for words in _MAYBE_SENT)
            if exc.disconnected and not maybe_sent:
                self._send_log.forget(client_id)
                raise wrong_state(f"the connection was lost before the message was sent: {exc}") from exc
            self.failed += 1
            if maybe_sent:
                return await self._perhaps_sent(client_id, message, exc)
            self._send_log.forget(client_id)
            raise ApiError(502, "send-failed", f"WhatsApp refused the message: {exc}") from exc
        self.sent += 1
        self._uploads.discard(client_id)
        return self._finish(client_id, message, sent, unconfirmed=False)

    async def _upload(self, message: OutgoingMessage, file: Upload) -> OutgoingMessage:
        uploaded = await self._transfers.run(file.size, lambda: self._transport.upload(file.path, message.content))
        return replace(message, file=uploaded)

    async def _perhaps_sent(self, client_id: str, message: OutgoingMessage, error: WhatsAppError) -> SendResult:
        if isinstance(message.content, Reaction):
            self._send_log.forget(client_id)
            raise ApiError(504, "timeout", f"WhatsApp did not confirm the reaction, send it again: {error}") from error
        message_id = await asyncio.to_thread(self._transport.find, message.secret)
        if message_id is None:
            raise ApiError(504, "outcome-unknown", f"the message may have been sent: {error}") from error
        sent = SentMessage(message_id, datetime.fromtimestamp(self._now(), UTC))
        return self._finish(client_id, message, sent, unconfirmed=True)

    def _finish(self, client_id: str, message: OutgoingMessage, sent: SentMessage, *, unconfirmed: bool) -> SendResult:
        if isinstance(message.content, Poll):
            self._polls.remember(sent.message_id, message.content.options)
        try:
            return self._send_log.finish(client_id, sent.message_id, sent.timestamp, unconfirmed=unconfirmed)
        except sqlite3.OperationalError as exc:  # determined at the next start, from the secret of the message
            log.error("the result of sending %s could not be recorded: %s", client_id, exc)  # noqa: TRY400
            return SendResult(
                message_id=sent.message_id, timestamp=sent.timestamp, repeated=False, unconfirmed=unconfirmed
            )


def _upload_missing() -> ApiError:
    return ApiError(
        409, "upload-missing", "the file of this message was not uploaded, or has been removed; upload it first"
    )
