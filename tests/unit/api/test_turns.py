"""Requests of one tenant take turns, and leave those of other tenants alone."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from orchestrator.api import turns
from orchestrator.api.turns import LongCall, Turns
from orchestrator.errors import TooManyRequestsError


class Requests:
    """Requests that last until an event that they are given."""

    def __init__(self, turns: Turns) -> None:
        self.handled: list[str] = []
        """The tenants of those that have had their turn, in order."""
        self.turns = turns
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, tenant: str, until: asyncio.Event, *, call: LongCall | None = None) -> asyncio.Task[None]:
        async def handle() -> None:
            async with self.turns.turn(tenant), AsyncExitStack() as stack:
                self.handled.append(tenant)
                if call is not None:
                    await stack.enter_async_context(turns.long_call(call))
                await until.wait()
                await turns.retake()

        self._tasks.append(asyncio.create_task(handle()))
        return self._tasks[-1]

    async def settle(self) -> list[str]:
        """Let all run as far as they can; `handled`."""
        for _ in range(50):
            await asyncio.sleep(0)
        return self.handled


async def test_one_tenants_requests_wait_for_each_other_and_not_for_those_of_others() -> None:
    requests = Requests(Turns(per_tenant=2))
    end = asyncio.Event()
    tasks = [requests.start(tenant, end) for tenant in "aaaaabbb"]
    assert await requests.settle() == ["a", "a", "b", "b"]
    end.set()
    await asyncio.gather(*tasks)
    assert sorted(requests.handled) == list("aaaaabbb")


async def test_requests_that_wait_for_nothing_are_not_handled_all_together() -> None:
    several = Turns(per_tenant=2)
    handled = 0

    async def handle() -> None:
        nonlocal handled
        async with several.turn("a"):
            handled += 1

    tasks = [asyncio.create_task(handle()) for _ in range(10)]
    await asyncio.sleep(0)
    assert handled == 2
    await asyncio.gather(*tasks)
    assert handled == 10


async def test_a_request_whose_turn_does_not_come_is_refused() -> None:
    requests = Requests(Turns(per_tenant=1, wait_seconds=0.01))
    end = asyncio.Event()
    first = requests.start("a", end)
    with pytest.raises(TooManyRequestsError, match="1 requests of this server"):
        await requests.start("a", end)
    end.set()
    await first
    await requests.start("a", end)


async def test_a_long_call_leaves_its_turn_to_others() -> None:
    requests = Requests(Turns(per_tenant=1))
    end = asyncio.Event()
    tasks = [requests.start("a", end, call=LongCall.LOGS) for _ in range(3)]
    assert await requests.settle() == ["a", "a", "a"]
    end.set()
    await asyncio.gather(*tasks)


async def test_the_number_of_long_calls_of_a_tenant_is_limited() -> None:
    requests = Requests(Turns(per_tenant=1))
    end = asyncio.Event()
    tasks = [requests.start("a", end, call=LongCall.LOGS) for _ in range(LongCall.LOGS.value)]
    await requests.settle()
    with pytest.raises(TooManyRequestsError, match="that take long"):
        await requests.start("a", end, call=LongCall.LOGS)
    tasks += [requests.start("a", end, call=LongCall.BOT), requests.start("b", end, call=LongCall.LOGS)]
    assert (await requests.settle())[-2:] == ["a", "b"]
    end.set()
    await asyncio.gather(*tasks)
    await requests.start("a", end, call=LongCall.LOGS)


async def test_a_turn_that_has_ended_is_not_taken_again() -> None:
    one = Turns(per_tenant=1)
    async with one.turn("a") as turn:
        turn.end()
        await asyncio.sleep(0)
        async with one.turn("a"):
            await turn.take()


async def test_without_a_request_there_is_no_turn() -> None:
    turns.leave()
    await turns.retake()
    async with turns.long_call(LongCall.BOT):
        pass
