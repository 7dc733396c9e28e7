"""A client of one bot's HTTP endpoint (`bot_runtime/contract/`).

One httpx client per bot: httpx's pool scans all its connections on every request, so one client shared by hundreds of
bots takes tens of milliseconds of CPU per call, one per bot about one. Raises only:

    RuntimeCallError             the bot answered with an error; `status`, the contract's `code` and `retry_after_ms`
    RuntimeUnreachableError      no answer: refused, reset, timed out, or not from a Botdock runtime
    └── UnreadableResponseError  it succeeded, but the body is not as expected: the runtime is of another version

A bot is not trusted: the size of a response and the time that it takes as a whole are limited, because one api serves
the bots of all tenants.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, unquote

import httpx
import msgspec

from bot_runtime import contract

T = TypeVar("T")

log = logging.getLogger(__name__)

MAX_NUMBER = (1 << 63) - 1
"""Of an event, in Postgres."""
UNKNOWN_TIME = datetime.min.replace(tzinfo=UTC)
"""The timestamp of an event whose own cannot be read."""
_LIMITS = httpx.Limits(max_connections=3, max_keepalive_connections=2, keepalive_expiry=90)
"""Connections stay open between probes (httpx's default is 5 s), but not as long as the runtime keeps them open."""
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Bots use plain HTTP in their own network; an empty context saves every client from loading a CA bundle."""

MAX_RESPONSE_BYTES = 1 << 20
MAX_PAGE_BYTES = 8 * contract.PAGE_BYTES
"""Of a page of events, which ends with the event that exceeds PAGE_BYTES."""
_UPLOAD_SECONDS = 300.0
"""How long an upload may take as a whole."""
_HTTPX_FIRST_SECONDS = 0.5
"""A call may take this much longer than httpx waits for a single answer, so that httpx reports what it waited for."""
_INVALID = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not the expected JSON."""


class RuntimeUnreachableError(Exception):
    """The bot's endpoint did not respond, or not with a valid response."""


class UnreadableResponseError(RuntimeUnreachableError):
    """The bot's endpoint responded with success and JSON that this version cannot read."""


class RuntimeCallError(Exception):
    """The bot's endpoint responded with an error."""

    def __init__(self, status: int, code: str, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms


@dataclass(frozen=True, slots=True)
class BotEndpoint:
    """Where a bot that is online is reachable."""

    address: str
    token: str
    volume: str
    """Spool id of its volume, which holds the record of the messages that it was asked to send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFile:
    """The file of a received message as a stream; `chunks` raises RuntimeUnreachableError if it is interrupted."""

    mimetype: str
    size: int
    """In bytes; `chunks` yields exactly as many."""
    file_name: str | None
    chunks: AsyncIterator[bytes]


class RuntimeClient:
    """Calls the runtime at one address."""

    def __init__(self, address: str, token: str, *, timeout_seconds: float, port: int = contract.PORT) -> None:
        self._http = httpx.AsyncClient(
            base_url=f"http://{address}:{port}",
            headers={"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"},
            timeout=timeout_seconds,
            limits=_LIMITS,
            verify=_NO_TLS,
            trust_env=False,
        )
        # Built once, because building takes a quarter of the time of a call.
        self._health = self._http.build_request("GET", "/health")
        self._timeout_seconds = timeout_seconds
        self._address = (address, port)

    async def listens(self) -> bool:
        """Whether the endpoint accepts connections. Takes a sixteenth of the CPU of a refused call, which matters while
        many bots start at once and do not listen yet."""
        with socket.socket() as probe:
            probe.setblocking(False)
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    await asyncio.get_running_loop().sock_connect(probe, self._address)
            except OSError:  # TimeoutError is one
                return False
        return True

    async def health(self) -> contract.Health:
        """The state of the process and of its connection."""
        return await self._call(contract.Health, self._health)

    async def events(self, *, spool: str | None, after: int, limit: int, wait_seconds: float) -> contract.EventPage:
        """Events after a cursor; acknowledges those up to it. Waits up to `wait_seconds` for the first one."""
        query: dict[str, str] = {"after": str(after), "limit": str(limit), "wait": f"{wait_seconds:g}"}
        if spool is not None:
            query["spool"] = spool
        request = self._request("GET", "/events", params=query, timeout_seconds=self._timeout_seconds + wait_seconds)
        page = await self._call(_RawPage, request, max_bytes=MAX_PAGE_BYTES)
        items = [event for event in map(_event, page.items) if event is not None]
        return contract.EventPage(spool_id=page.spool_id, items=items, next=page.next)

    async def qr(self) -> contract.Qr:
        """The current QR code; RuntimeCallError 409 if there is none."""
        return await self._call(contract.Qr, self._request("GET", "/qr"))

    async def pair_code(self, phone_number: str) -> contract.PairCode:
        """A pairing code to enter on the phone with that number."""
        body = msgspec.json.encode(contract.PairCodeRequest(phone_number=phone_number))
        return await self._call(
            contract.PairCode, self._request("POST", "/pair-code", content=body, timeout_seconds=30)
        )

    async def configure(self, config: contract.RuntimeConfig) -> None:
        """Apply a configuration live."""
        body = msgspec.json.encode(config)
        await self._call(object, self._request("PUT", "/config", content=body))

    async def send(self, request: contract.SendRequest, *, timeout_seconds: float) -> contract.SendResult:
        """Send a message; idempotent for the same client id."""
        body = msgspec.json.encode(request)
        call = self._request("POST", "/messages", content=body, timeout_seconds=timeout_seconds)
        return await self._call(contract.SendResult, call)

    async def upload(self, client_id: str, chunks: AsyncIterable[bytes], *, size: int, timeout_seconds: float) -> None:
        """Upload the file of a media message, `size` bytes; call `send` with the same client id next.

        Streams the file. It may be uploaded again; the bot stores the last one until it is sent. RuntimeCallError 413
        if it is larger than MAX_MEDIA_BYTES, 507 if the bot's volume is full.
        """
        headers = {"Content-Length": str(size)}
        path = f"/uploads/{quote(client_id, safe='')}"
        request = self._request("PUT", path, content=chunks, headers=headers, timeout_seconds=timeout_seconds)
        await self._call(type(None), request, seconds=_UPLOAD_SECONDS)

    @asynccontextmanager
    async def media(self, message_id: str, *, timeout_seconds: float) -> AsyncIterator[MediaFile]:
        """The file of a received message, while the context is open.

        RuntimeCallError 404 if the bot has no such message with a file (any more), 410 if WhatsApp has deleted the
        file, 413 if it is larger than MAX_MEDIA_BYTES, 502 and 504 if WhatsApp fails.
        """
        request = self._request("GET", f"/media/{quote(message_id, safe='')}", timeout_seconds=timeout_seconds)
        try:
            async with asyncio.timeout(timeout_seconds + _HTTPX_FIRST_SECONDS):
                response = await self._http.send(request, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
            raise _unreachable(exc) from exc
        try:
            if not response.is_success:
                try:
                    async with asyncio.timeout(timeout_seconds):
                        content = await _content(response, MAX_RESPONSE_BYTES)
                except (httpx.HTTPError, OSError) as exc:
                    raise _unreachable(exc) from exc
                raise _error(response, content)
            try:
                mimetype, size = response.headers["content-type"], int(response.headers["content-length"])
            except (KeyError, ValueError) as exc:
                raise _not_a_runtime(response, exc) from exc
            yield MediaFile(
                mimetype=mimetype,
                size=size,
                file_name=_file_name(response.headers.get("content-disposition", "")),
                chunks=_chunks(response),
            )
        finally:
            await response.aclose()

    async def put_secrets(self, secrets: contract.Secrets) -> None:
        """What the bot holds only in memory: send it after every start of its process (a new `boot_id`)."""
        body = msgspec.json.encode(secrets)
        await self._call(type(None), self._request("PUT", "/secrets", content=body))

    async def reset_connection(self) -> contract.Health:
        """Reconnect to WhatsApp, or show a new QR code after the last one expired."""
        return await self._call(contract.Health, self._request("POST", "/connection/reset"))

    async def logout(self, *, timeout_seconds: float) -> contract.Health:
        """Unlink the device from the phone's account."""
        return await self._call(contract.Health, self._request("POST", "/logout", timeout_seconds=timeout_seconds))

    async def stats(self) -> contract.Stats:
        """Counters since the runtime started."""
        return await self._call(contract.Stats, self._request("GET", "/stats"))

    async def close(self) -> None:
        """Close the connections."""
        # The pool forgets its connections, then closes them one by one: cancelled in between, it would leak the rest.
        closing = asyncio.create_task(self._http.aclose())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await closing
            raise

    def _request(
        self, method: str, path: str, *, timeout_seconds: float | None = None, **options: Any
    ) -> httpx.Request:
        return self._http.build_request(method, path, timeout=timeout_seconds or self._timeout_seconds, **options)

    async def _call(
        self,
        body: type[T],
        request: httpx.Request,
        *,
        max_bytes: int = MAX_RESPONSE_BYTES,
        seconds: float | None = None,
    ) -> T:
        """`seconds`: the time limit of the call as a whole, if it is not that of the request."""
        if seconds is None:
            seconds = request.extensions["timeout"]["read"] + _HTTPX_FIRST_SECONDS
        try:
            async with asyncio.timeout(seconds):
                response = await self._http.send(request, stream=True)
                try:
                    content = await _content(response, max_bytes)
                finally:
                    await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
            raise _unreachable(exc) from exc
        if not response.is_success:
            raise _error(response, content)
        try:
            return msgspec.json.decode(content or b"null", type=body)
        except msgspec.ValidationError as exc:
            raise UnreadableResponseError(f"the response cannot be read, update the controller: {exc}") from exc
        except _INVALID as exc:
            raise _not_a_runtime(response, exc) from exc


class _RawPage(contract.Wire, frozen=True):
    """`EventPage` whose events are still to be read: one that cannot be must not hold up those after it."""

    spool_id: str
    items: list[msgspec.Raw]
    next: int


class _Number(contract.Wire, frozen=True):
    """What is needed of an event to store it: a number that Postgres takes, and perhaps a type and a timestamp."""

    seq: Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]
    type: Any = None
    timestamp: Any = None


def _event(raw: msgspec.Raw) -> contract.Event | None:
    """An event of a page. One that this version cannot read has what was sent as `unreadable` in its data.

    None if it has no number, without which it could not be stored exactly once.
    """
    reason = "its number is out of range"
    try:
        event = msgspec.json.decode(raw, type=contract.Event)
    except _INVALID as exc:
        reason = str(exc)
    else:
        if 0 <= event.seq <= MAX_NUMBER:
            return event
    try:
        number = msgspec.json.decode(raw, type=_Number)
    except _INVALID as exc:
        log.warning("dropping an event without a valid number, update the controller: %s", exc)
        return None
    log.warning("event %d cannot be read and is stored as it is, update the controller: %s", number.seq, reason)
    return contract.Event(
        seq=number.seq,
        type=number.type if isinstance(number.type, str) else "unreadable",
        data={"unreadable": bytes(raw).decode(errors="replace")},
        timestamp=_timestamp(number.timestamp),
    )


def _timestamp(sent: Any) -> datetime:
    try:
        return msgspec.convert(sent, datetime)
    except msgspec.ValidationError:
        return UNKNOWN_TIME


async def _content(response: httpx.Response, max_bytes: int) -> bytes:
    """The body as it was sent: decompressed, it could be a thousand times as large."""
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > max_bytes:
            raise RuntimeUnreachableError(f"the response is larger than {max_bytes} bytes")
    return bytes(content)


async def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.aiter_raw(65536):
            yield chunk
    except (httpx.HTTPError, OSError) as exc:
        raise _unreachable(exc) from exc


def _unreachable(exc: Exception) -> RuntimeUnreachableError:
    return RuntimeUnreachableError(f"{type(exc).__name__}: {exc}".rstrip(": "))


def _error(response: httpx.Response, content: bytes) -> RuntimeCallError | RuntimeUnreachableError:
    try:
        error = msgspec.json.decode(content, type=contract.Error)
    except _INVALID as exc:
        return _not_a_runtime(response, exc)
    return RuntimeCallError(response.status_code, error.code, error.message, retry_after_ms=error.retry_after_ms)


def _not_a_runtime(response: httpx.Response, exc: Exception) -> RuntimeUnreachableError:
    return RuntimeUnreachableError(f"the response ({response.status_code}) is not from a runtime: {exc}")


def _file_name(disposition: str) -> str | None:
    _, found, name = disposition.partition("filename*=UTF-8''")
    return unquote(name) if found else None
