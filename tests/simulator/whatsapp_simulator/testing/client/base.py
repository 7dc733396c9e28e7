"""The shared part of the client: HTTP, errors and waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, Self, TypeVar

import httpx

POLL_SECONDS = 0.02
LONG_POLL_SECONDS = 20.0

Found = TypeVar("Found")


class SimulatorError(Exception):
    """The simulator rejected a request; has the HTTP status and a stable error code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code


class Numbered(Protocol):
    """An item with an index."""

    @property
    def index(self) -> int:
        """Higher than the index of the previous item."""


Item = TypeVar("Item", bound=Numbered)


class BaseClient:
    """A connection to the simulator at `url`. Methods with `timeout_seconds` raise TimeoutError."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=60, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None, **query: float) -> Any:
        response = await self._send(method, path, body, **query)
        return response.json() if response.content else None

    async def _send(
        self, method: str, path: str, body: dict[str, Any] | None = None, **query: float | str
    ) -> httpx.Response:
        response = await self._http.request(method, path, json=body, params=query)
        if response.is_error:
            problem = response.json()
            raise SimulatorError(response.status_code, problem["code"], problem["message"])
        return response

    @staticmethod
    async def _first(
        read: Callable[[int, float], Awaitable[list[Item]]],
        matches: Callable[[Item], bool],
        what: str,
        *,
        after: int = 0,
        timeout_seconds: float,
    ) -> Item:
        """The first matching item after an index, from a list that is read by `read(after, wait)`."""
        end = time.monotonic() + timeout_seconds
        while (left := end - time.monotonic()) > 0:
            for item in await read(after, min(left, LONG_POLL_SECONDS)):
                after = item.index
                if matches(item):
                    return item
        raise TimeoutError(f"no {what} within {timeout_seconds} s")

    @staticmethod
    async def _until(read: Callable[[], Awaitable[Found | None]], what: str, *, timeout_seconds: float) -> Found:
        """The first result of `read` that is not None."""
        end = time.monotonic() + timeout_seconds
        while time.monotonic() < end:
            found = await read()
            if found is not None:
                return found
            await asyncio.sleep(POLL_SECONDS)
        raise TimeoutError(f"{what} within {timeout_seconds} s")
