"""Turns of requests, so that one tenant's requests do not hold up those of others.

At most a fixed number of requests of one tenant are handled at the same time; more wait in order for their turn, and
are refused if it does not come in time. The number is less than that of the connections to Postgres. A request that
waits for something else, such as a bot, leaves its turn meanwhile; how many may do so is limited as well.

A tenant is a server. Keys of admins, and all requests without a valid key, are one tenant each.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum

from orchestrator.errors import TooManyRequestsError

WAIT_SECONDS = 10.0


class LongCall(Enum):
    """What a request waits for without its turn, and how many of a tenant's may at the same time."""

    LOGS = 8
    DOWNLOAD = 16
    BOT = 32


@dataclass(slots=True)
class _Tenant:
    """The requests of one tenant."""

    free: asyncio.Semaphore
    requests: int = 0
    """Those that have a turn, wait for one, or have left theirs."""
    long_calls: Counter[LongCall] = field(default_factory=Counter)


class Turn:
    """The turn of one request."""

    def __init__(self, tenant: _Tenant, maximum: int) -> None:
        self._tenant = tenant
        self._maximum = maximum
        self._taken = False
        self._ended = False

    async def take(self) -> None:
        """Wait for the turn, unless it is taken or has ended."""
        if not self._taken and not self._ended:
            await self._tenant.free.acquire()
            self._taken = True

    async def take_in_time(self, seconds: float) -> None:
        """The same. Raises TooManyRequestsError if that takes longer."""
        try:
            async with asyncio.timeout(seconds):
                await self.take()
        except TimeoutError:
            raise TooManyRequestsError(
                f"{self._maximum} requests of this server are being handled, and others wait: "
                "send fewer requests at the same time"
            ) from None

    def leave(self) -> None:
        """Let another request have it."""
        if self._taken:
            self._taken = False
            # Not at once: requests that wait for nothing would be handled all together, and delay those of others.
            asyncio.get_running_loop().call_soon(self._tenant.free.release)

    def end(self) -> None:
        """Leave it for good."""
        self.leave()
        self._ended = True

    @contextmanager
    def counted(self, call: LongCall) -> Iterator[None]:
        """For a long call. Raises TooManyRequestsError if its tenant makes as many as it may."""
        calls = self._tenant.long_calls
        if calls[call] >= call.value:
            raise TooManyRequestsError(
                f"{call.value} requests of this server that take long are being handled: retry when one has ended"
            )
        calls[call] += 1
        try:
            yield
        finally:
            calls[call] -= 1


_current: ContextVar[Turn | None] = ContextVar("turn", default=None)
"""The turn of the request that is being handled."""


class Turns:
    """The turns of all tenants in one process."""

    def __init__(self, *, per_tenant: int, wait_seconds: float = WAIT_SECONDS) -> None:
        self._per_tenant = per_tenant
        self._wait_seconds = wait_seconds
        self._tenants: dict[object, _Tenant] = {}

    @asynccontextmanager
    async def turn(self, tenant: object) -> AsyncIterator[Turn]:
        """A request's turn; left at the end of the block at the latest. Raises TooManyRequestsError."""
        requests = self._tenants.setdefault(tenant, _Tenant(asyncio.Semaphore(self._per_tenant)))
        requests.requests += 1
        turn = Turn(requests, self._per_tenant)
        token = _current.set(turn)
        try:
            await turn.take_in_time(self._wait_seconds)
            yield turn
        finally:
            _current.reset(token)
            turn.end()
            requests.requests -= 1
            asyncio.get_running_loop().call_soon(self._forget, tenant)  # with its turns, which are free by then

    def _forget(self, tenant: object) -> None:
        if tenant in self._tenants and not self._tenants[tenant].requests:
            del self._tenants[tenant]


def leave() -> None:
    """Leave the turn of the present request until `retake`."""
    if (turn := _current.get()) is not None:
        turn.leave()


async def retake() -> None:
    """Wait until the present request has a turn again."""
    if (turn := _current.get()) is not None:
        await turn.take()


@asynccontextmanager
async def long_call(call: LongCall) -> AsyncIterator[None]:
    """Leave the turn of the present request, until `retake`. Raises TooManyRequestsError if too many have done so."""
    turn = _current.get()
    if turn is None:
        yield
        return
    with turn.counted(call):
        turn.leave()
        yield
