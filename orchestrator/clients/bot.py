"""A client of one bot's HTTP endpoint (`bot_runtime/contract/`).

One httpx client per bot: httpx's pool scans all its connections on every request, so one client shared by hundreds of
bots takes tens of milliseconds of CPU per call, one per bot about one.

A bot is not trusted: one api serves the bots of all tenants. `bot_transport.py` limits the size of responses,
`bot_answers.py` reads them, and the time of each call is limited as a whole here. Calls raise only what is in
`bot_errors.py`.
"""

import asyncio
import socket
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import httpx
import msgspec

from bot_runtime import contract
from orchestrator.clients.bot_answers import ReceivedPage, read_answer, read_error, read_page
from orchestrator.clients.bot_errors import ProtocolViolationError, RuntimeCallError, RuntimeUnreachableError
from orchestrator.clients.bot_transport import BotTransport, check_encoding, read_body, read_pieces

T = TypeVar("T", bound=contract.Wire)

_TRANSFER_SECONDS = 300.0
"""How long an upload, or a download, may take as a whole."""
_HTTPX_FIRST_SECONDS = 0.5
"""A call may take this much longer than httpx waits for a single answer, so that httpx reports what it waited for."""
_CUT_OFF = ("disconnected", "closed connection")
"""Parts of the messages of httpx and h11 about a connection that ended, whatever was sent on it."""
_MAX_UNREAD_BYTES = contract.MAX_BODY_BYTES
"""Of a body that is not needed, such as the configuration that was sent."""
_NO_STREAM = httpx.ByteStream(b"")


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
        self._root = f"http://{address}:{port}"
        self._transport = BotTransport()
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"},
            timeout=timeout_seconds,
            transport=self._transport,
            trust_env=False,
        )
        # Built once, because building takes a quarter of the time of a call.
        self._health = self._http.build_request("GET", f"{self._root}/health")
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

    @property
    def received_bytes(self) -> int:
        """Everything that the bot has sent so far."""
        return self._transport.received_bytes

    async def health(self) -> contract.Health:
        """The state of the process and of its connection."""
        return await self._call(contract.Health, self._health)

    async def events(self, *, spool: str | None, after: int, limit: int, wait_seconds: float) -> ReceivedPage:
        """Events after a cursor; acknowledges those up to it. Waits up to `wait_seconds` for the first one."""
        path = f"/events?after={after}&limit={limit}&wait={wait_seconds:g}"
        if spool is not None:
            path += f"&spool={quote(spool, safe='')}"
        request = self._request("GET", path, timeout_seconds=self._timeout_seconds + wait_seconds)
        content = await self._content(request, max_bytes=contract.MAX_PAGE_BYTES)
        return read_page(content, spool=spool, after=after, limit=limit)

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
        await self._content(self._request("PUT", "/config", content=body), max_bytes=_MAX_UNREAD_BYTES)

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
        await self._content(request, max_bytes=_MAX_UNREAD_BYTES, seconds=_TRANSFER_SECONDS)

    @asynccontextmanager
    async def media(self, message_id: str, *, timeout_seconds: float) -> AsyncIterator[MediaFile]:
        """The file of a received message, while the context is open.

        RuntimeCallError 404 if the bot has no such message with a file (any more), 410 if WhatsApp has deleted the
        file, 413 if it is larger than MAX_MEDIA_BYTES, 502 and 504 if WhatsApp fails.
        """
        self._transport.allow(contract.MAX_MEDIA_BYTES)
        request = self._request("GET", f"/media/{quote(message_id, safe='')}", timeout_seconds=timeout_seconds)
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(timeout_seconds + _HTTPX_FIRST_SECONDS):
                    response = await self._http.send(request, stream=True)
                    stack.push_async_callback(response.aclose)
                    if not response.is_success:
                        raise _call_error(response, await read_body(response, contract.MAX_ANSWER_BYTES))
            except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
                raise _unreachable(exc) from exc
            yield _media_file(response)

    async def put_secrets(self, secrets: contract.Secrets) -> None:
        """What the bot holds only in memory: send it after every start of its process (a new `boot_id`)."""
        body = msgspec.json.encode(secrets)
        await self._content(self._request("PUT", "/secrets", content=body), max_bytes=_MAX_UNREAD_BYTES)

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
        # From one string: httpx takes four times as long to join a URL with a base and parameters.
        url = self._root + path
        return self._http.build_request(method, url, timeout=timeout_seconds or self._timeout_seconds, **options)

    async def _call(self, kind: type[T], request: httpx.Request) -> T:
        return read_answer(await self._content(request, max_bytes=contract.MAX_ANSWER_BYTES), kind)

    async def _content(self, request: httpx.Request, *, max_bytes: int, seconds: float | None = None) -> bytes:
        """The body of a successful response.

        `seconds`: the time limit of the call as a whole, if it is not that of the request.
        """
        self._transport.allow(max_bytes)
        if seconds is None:
            seconds = request.extensions["timeout"]["read"] + _HTTPX_FIRST_SECONDS
        try:
            async with asyncio.timeout(seconds):
                response = await self._http.send(request, stream=True)
                try:
                    limit = max_bytes if response.is_success else contract.MAX_ANSWER_BYTES
                    content = await read_body(response, limit)
                finally:
                    await response.aclose()
                    # Ends a cycle of references, which would keep a closed connection with all that it had received
                    # until the garbage collector runs.
                    response.stream = _NO_STREAM
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
            raise _unreachable(exc) from exc
        if not response.is_success:
            raise _call_error(response, content)
        return content


def _media_file(response: httpx.Response) -> MediaFile:
    check_encoding(response)
    try:
        mimetype, size = response.headers["content-type"], int(response.headers["content-length"])
    except (KeyError, ValueError) as exc:
        raise ProtocolViolationError("the file has no content type, or no valid content length") from exc
    if size > contract.MAX_MEDIA_BYTES:
        raise RuntimeCallError(413, "too-large", "the file is larger than 16 MiB, the maximum for downloads")
    return MediaFile(
        mimetype=mimetype,
        size=size,
        file_name=_file_name(response.headers.get("content-disposition", "")),
        chunks=_chunks(response, size),
    )


async def _chunks(response: httpx.Response, size: int) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    deadline = clock() + _TRANSFER_SECONDS
    try:
        async for chunk in read_pieces(response, size):
            yield chunk
            if clock() > deadline:
                raise RuntimeUnreachableError(f"the file did not arrive within {_TRANSFER_SECONDS:g} s")
    except (httpx.HTTPError, OSError) as exc:
        raise _unreachable(exc) from exc


def _unreachable(exc: Exception) -> RuntimeUnreachableError:
    if isinstance(exc, httpx.RemoteProtocolError) and not any(words in str(exc) for words in _CUT_OFF):
        return ProtocolViolationError(f"the response is not valid HTTP: {exc}")
    return RuntimeUnreachableError(f"{type(exc).__name__}: {exc}".rstrip(": "))


def _call_error(response: httpx.Response, content: bytes) -> RuntimeCallError:
    """The error that the bot answered with. Raises ProtocolViolationError."""
    error = read_error(content)
    return RuntimeCallError(response.status_code, error.code, error.message, retry_after_ms=error.retry_after_ms)


def _file_name(disposition: str) -> str | None:
    _, found, name = disposition.partition("filename*=UTF-8''")
    return unquote(name) if found else None
