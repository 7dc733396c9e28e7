"""A client of one bot's HTTP endpoint (`bot_runtime/contract.py`).

One httpx client per bot: httpx's pool looks through all its connections on every request, so one client shared by
hundreds of bots costs tens of milliseconds of CPU per call, while one per bot stays at about one. Raises only:

    RuntimeCallError             the bot answered with an error; `status` and the contract's `code`
    RuntimeUnreachable           no answer: refused, reset, timed out, or not a Botdock runtime
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx
import msgspec

from bot_runtime import contract

T = TypeVar("T")

_LIMITS = httpx.Limits(max_connections=3, max_keepalive_connections=2, keepalive_expiry=90)
"""Connections are kept from probe to probe (httpx would drop them after 5 s), less long than the runtime keeps them."""
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Bots speak plain HTTP in their own network; one empty context saves every client from loading a CA bundle."""


class RuntimeUnreachable(Exception):
    """The bot's endpoint gave no usable answer."""


class RuntimeCallError(Exception):
    """The bot's endpoint refused the call."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class RuntimeClient:
    """Calls to the runtime at one address."""

    def __init__(self, address: str, token: str, *, timeout: float, port: int = contract.PORT) -> None:
        self._http = httpx.AsyncClient(
            base_url=f"http://{address}:{port}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=timeout,
            limits=_LIMITS,
            verify=_NO_TLS,
            trust_env=False,
        )
        # Asked again and again: putting a request together is a quarter of what it costs to make it.
        self._health = self._http.build_request("GET", "/health")
        self._timeout = timeout
        self._address = (address, port)

    async def listens(self) -> bool:
        """Whether the endpoint takes connections. A sixteenth of the CPU of a call that is refused, which counts while
        many bots start at once and none of them listens yet."""
        with socket.socket() as probe:
            probe.setblocking(False)
            try:
                async with asyncio.timeout(self._timeout):
                    await asyncio.get_running_loop().sock_connect(probe, self._address)
            except OSError:  # TimeoutError is one
                return False
        return True

    async def health(self) -> contract.Health:
        """State of process and connection."""
        return await self._call(contract.Health, lambda: self._http.send(self._health))

    async def events(self, *, spool: str | None, after: int, limit: int, wait: float) -> contract.EventPage:
        """Events after a cursor; acknowledges those up to it. Holds for up to `wait` seconds until there is one."""
        query: dict[str, str] = {"after": str(after), "limit": str(limit), "wait": f"{wait:g}"}
        if spool is not None:
            query["spool"] = spool
        timeout = self._timeout + wait
        return await self._call(contract.EventPage, lambda: self._http.get("/events", params=query, timeout=timeout))

    async def qr(self) -> contract.Qr:
        """The QR code shown now; RuntimeCallError 409 when there is none."""
        return await self._call(contract.Qr, lambda: self._http.get("/qr"))

    async def pair_code(self, phone_number: str) -> contract.PairCode:
        """A code to type into the phone of that number."""
        body = msgspec.json.encode(contract.PairCodeRequest(phone_number=phone_number))
        return await self._call(contract.PairCode, lambda: self._http.post("/pair-code", content=body, timeout=30))

    async def configure(self, config: contract.RuntimeConfig) -> contract.RuntimeConfig:
        """Apply a configuration live."""
        body = msgspec.json.encode(config)
        return await self._call(contract.RuntimeConfig, lambda: self._http.put("/config", content=body))

    async def send(self, request: contract.SendRequest, *, timeout: float) -> contract.SendResult:
        """Send a message; safe to repeat with the same client id."""
        body = msgspec.json.encode(request)
        return await self._call(
            contract.SendResult, lambda: self._http.post("/messages", content=body, timeout=timeout)
        )

    async def reset_connection(self) -> contract.Health:
        """A new connection to WhatsApp, or a new QR when the last one expired."""
        return await self._call(contract.Health, lambda: self._http.post("/connection/reset"))

    async def logout(self, *, timeout: float) -> contract.Health:
        """Unlink the device from the phone's account."""
        return await self._call(contract.Health, lambda: self._http.post("/logout", timeout=timeout))

    async def stats(self) -> contract.Stats:
        """Counters since the runtime started."""
        return await self._call(contract.Stats, lambda: self._http.get("/stats"))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _call(self, body: type[T], call: Callable[[], Awaitable[httpx.Response]]) -> T:
        try:
            response = await call()
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
            raise RuntimeUnreachable(f"{type(exc).__name__}: {exc}".rstrip(": ")) from exc
        try:
            if response.is_success:
                return msgspec.json.decode(response.content, type=body)
            error = msgspec.json.decode(response.content, type=contract.Error)
        except msgspec.MsgspecError as exc:
            raise RuntimeUnreachable(f"the answer ({response.status_code}) is not a runtime's: {exc}") from exc
        raise RuntimeCallError(response.status_code, error.code, error.message)
