"""Sends messages: off the event loop, once per client id, within the rate limit, with a time limit."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import msgspec

from bot_runtime.contract import FILES, Poll, Reaction, RuntimeConfig, SendRequest, SendResult, Text
from bot_runtime.errors import ApiError, wrong_state
from bot_runtime.files.transfers import Transfers
from bot_runtime.files.uploads import Upload, UploadStore
from bot_runtime.outbound.delivery import Delivery, MaybeSentError
from bot_runtime.outbound.rate_limit import seconds_until_room
from bot_runtime.outbound.recipients import Recipients
from bot_runtime.outbound.send_log import OutcomeUnknownError, SendLog
from bot_runtime.polls import Polls
from bot_runtime.whatsapp.jid import HIDDEN, PERSON, Address
from bot_runtime.whatsapp.messages import SentMessage, WhatsAppError
from bot_runtime.whatsapp.outgoing import ForwardedFile, OutgoingMessage, Transport

log = logging.getLogger(__name__)

SEND_SECONDS = 30.0


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
        self._delivery = Delivery(transport)
        self._own: set[asyncio.Task[SentMessage]] = set()
        self.sent = 0
        self.failed = 0

    @property
    def busy(self) -> bool:
        return bool(self._running or self._own)

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

    async def reply(self, chat: Address, text: str) -> SentMessage:
        """Send a text of the bot itself, without a client id and a rate limit.

        Raises `NotSentError`, `MaybeSentError`.
        """
        return await self._send_own(OutgoingMessage(chat=chat, content=Text(text=text)))

    async def forward(self, chat: Address, message: bytes) -> SentMessage:
        """Send the file of a received message, see `ForwardedFile`. Raises `NotSentError`, `MaybeSentError`."""
        return await self._send_own(OutgoingMessage(chat=chat, content=ForwardedFile(message)))

    async def _send_own(self, message: OutgoingMessage) -> SentMessage:
        task = asyncio.create_task(self._deliver_own(message))
        self._own.add(task)
        task.add_done_callback(self._own_ended)
        return await asyncio.shield(task)

    async def _deliver_own(self, message: OutgoingMessage) -> SentMessage:
        try:
            sent = await self._delivery.deliver(message, lambda _: None)
        except WhatsAppError:
            self.failed += 1
            raise
        self.sent += 1
        return sent

    def _own_ended(self, task: asyncio.Task[SentMessage]) -> None:
        self._own.discard(task)
        if not task.cancelled():
            task.exception()  # it has been reported to whoever still waits

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
            raise _not_writable(exc) from exc
        task = asyncio.create_task(self._run(request, message, file))
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

    async def _run(self, request: SendRequest, message: OutgoingMessage, file: Upload | None) -> SendResult:
        client_id = request.client_id
        try:
            if file is not None:
                message = await self._upload(request, message, file)
            sent = await self._delivery.deliver(message, partial(self._send_log.note_state, client_id))
        except MaybeSentError as exc:
            self.failed += 1
            return self._perhaps_sent(client_id, message, exc)
        except Exception as exc:
            # Everything else is raised before the message is handed over, or proves that nothing was sent.
            self._forget(client_id)
            failure = self._failure(exc)
            if failure is None:
                raise
            raise failure from exc
        self.sent += 1
        self._uploads.discard(client_id)
        return self._finish(client_id, message, sent, unconfirmed=False)

    def _forget(self, client_id: str) -> None:
        """Nothing was sent: the client id is free again."""
        try:
            self._send_log.forget(client_id)
        except sqlite3.OperationalError as exc:  # determined at the next start
            log.error("it could not be recorded that %s was not sent: %s", client_id, exc)  # noqa: TRY400

    def _failure(self, error: Exception) -> ApiError | None:
        """What the caller gets when nothing was sent; None for an unexpected error."""
        match error:
            case FileNotFoundError():
                return _upload_missing()
            case sqlite3.OperationalError():
                return _not_writable(error)
            case WhatsAppError(disconnected=True):
                return wrong_state(f"the connection was lost before the message was sent: {error}")
            case WhatsAppError():
                self.failed += 1
                return ApiError(502, "send-failed", f"the message was not sent: {error}")
        return None

    async def _upload(self, request: SendRequest, message: OutgoingMessage, file: Upload) -> OutgoingMessage:
        uploaded = await self._transfers.run(file.size, lambda: self._transport.upload(file.path, request.content))
        return replace(message, file=uploaded)

    def _perhaps_sent(self, client_id: str, message: OutgoingMessage, error: MaybeSentError) -> SendResult:
        if isinstance(message.content, Reaction):
            self._forget(client_id)
            raise ApiError(504, "timeout", f"WhatsApp did not confirm the reaction, send it again: {error}") from error
        if error.message_id is None:
            raise ApiError(504, "outcome-unknown", f"the message may have been sent: {error}") from error
        sent = SentMessage(error.message_id, datetime.fromtimestamp(self._now(), UTC))
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


def _not_writable(error: sqlite3.OperationalError) -> ApiError:
    return ApiError(507, "disk-full", f"the bot's volume cannot be written: {error}")


def _upload_missing() -> ApiError:
    return ApiError(
        409, "upload-missing", "the file of this message was not uploaded, or has been removed; upload it first"
    )
