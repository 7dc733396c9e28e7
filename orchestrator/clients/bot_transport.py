"""HTTP to one bot: bounds what a response may be before anything of it is decoded.

A bot is not trusted, and one api serves the bots of all tenants. Therefore, for each response:

- everything that arrives counts, also heads and the framing of chunks. httpcore accepts a head of 100 KiB at most.
- informational responses, of which there may be any number, are not part of the protocol.
- the body is not decompressed: it could be a thousand times as large. A content encoding is an error.
- the time is limited as a whole, not only for each piece (`clients/bot.py`).
"""

import ssl
from collections.abc import AsyncIterator, Iterable

import httpcore
import httpx

from orchestrator.clients.bot_errors import ProtocolViolationError

FRAMING_BYTES = 128 << 10
"""How much larger than its body a response may be."""
KEEPALIVE_SECONDS = 90.0
"""Connections stay open between probes (httpx's default is 5 s), but not as long as the runtime keeps them open."""
_STATUS_AT = len("HTTP/1.1 1")
"""Where a response says of which kind it is."""
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Bots use plain HTTP in their own network; an empty context saves every client from loading a CA bundle."""


class BotTransport(httpx.AsyncHTTPTransport):
    """At most three connections to one bot. ProtocolViolationError ends a response that is too large."""

    def __init__(self) -> None:
        super().__init__(verify=_NO_TLS, trust_env=False)
        self._backend = _Backend()
        self._pool = httpcore.AsyncConnectionPool(
            max_connections=3,
            max_keepalive_connections=2,
            keepalive_expiry=KEEPALIVE_SECONDS,
            network_backend=self._backend,
        )

    @property
    def received_bytes(self) -> int:
        """Everything that arrived so far, on all connections."""
        return self._backend.received_bytes

    def allow(self, body_bytes: int) -> None:
        """Bodies of up to so many bytes are expected from now on."""
        self._backend.allowed_bytes = max(self._backend.allowed_bytes, body_bytes + FRAMING_BYTES)


class _Backend(httpcore.AnyIOBackend):
    def __init__(self) -> None:
        self.received_bytes = 0
        self.allowed_bytes = FRAMING_BYTES

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await super().connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(self, stream)


class _Stream(httpcore.AsyncNetworkStream):
    """A connection that counts what arrives since the last request was sent on it."""

    def __init__(self, backend: _Backend, stream: httpcore.AsyncNetworkStream) -> None:
        self._backend = backend
        self._stream = stream
        self._response_bytes = 0
        self._start = b""
        """The first bytes of the response."""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = await self._stream.read(max_bytes, timeout)
        self._backend.received_bytes += len(data)
        self._response_bytes += len(data)
        if self._response_bytes > self._backend.allowed_bytes:
            raise ProtocolViolationError(f"the response is larger than {self._backend.allowed_bytes} bytes")
        if len(self._start) < _STATUS_AT:
            self._start += data[:_STATUS_AT]
            if self._start[_STATUS_AT - 1 : _STATUS_AT] == b"1":
                raise ProtocolViolationError("an informational response, which was not requested")
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._response_bytes, self._start = 0, b""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


async def read_body(response: httpx.Response, max_bytes: int) -> bytes:
    """The body of a response, as it was sent. Raises ProtocolViolationError and what httpx raises."""
    check_encoding(response)
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > max_bytes:
            raise ProtocolViolationError(f"the body is larger than {max_bytes} bytes")
    return bytes(content)


async def read_pieces(response: httpx.Response, size: int) -> AsyncIterator[bytes]:
    """A body of exactly `size` bytes, piece by piece. Raises ProtocolViolationError and what httpx raises."""
    remaining = size
    async for chunk in response.aiter_raw(65536):
        remaining -= len(chunk)
        if remaining < 0:
            break
        yield chunk
    if remaining != 0:
        raise ProtocolViolationError(f"the body does not have {size} bytes, as its head says")


def check_encoding(response: httpx.Response) -> None:
    """Raise ProtocolViolationError for a compressed body."""
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise ProtocolViolationError(f"the content encoding is {encoding!r}, which was not requested")
