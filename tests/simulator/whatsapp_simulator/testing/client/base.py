"""What all parts of the client share: HTTP, errors, and waiting."""

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
    """The simulator refused a call: HTTP status and stable code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code


class Numbered(Protocol):
    """An item of a list that grows."""

    @property
    def index(self) -> int:
        """Higher than that of the item before."""


Item = TypeVar("Item", bound=Numbered)


class Base:
    """The connection to a simulator at `url`. Deadlines are in seconds; missing one is a TimeoutError."""

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
        wanted: Callable[[Item], bool],
        what: str,
        *,
        after: int = 0,
        deadline: float,
    ) -> Item:
        """The first item after an index that is wanted, out of a list that is read by (after, wait)."""
        end = time.monotonic() + deadline
        while (left := end - time.monotonic()) > 0:
            for item in await read(after, min(left, LONG_POLL_SECONDS)):
                after = item.index
                if wanted(item):
                    return item
        raise TimeoutError(f"no {what} within {deadline} s")

    @staticmethod
    async def _until(read: Callable[[], Awaitable[Found | None]], what: str, *, deadline: float) -> Found:
        """What `read` gives as soon as that is something."""
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            found = await read()
            if found is not None:
                return found
            await asyncio.sleep(POLL_SECONDS)
        raise TimeoutError(f"{what} within {deadline} s")
