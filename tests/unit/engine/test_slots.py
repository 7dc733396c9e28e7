"""Calls about containers on which the engine hangs leave slots for all others."""

import asyncio
from concurrent.futures import Future

import pytest

from orchestrator.engine.base import ContainerStuckError
from orchestrator.engine.docker import slots
from orchestrator.engine.docker.slots import ATTEMPTS, FORGET_SECONDS, PAUSE_SECONDS, CallSlots, StuckContainers
from tests.unit.reconcile.doubles import Clock

TIMEOUT_SECONDS = 60.0


@pytest.fixture
def held_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "HELD_UP_SECONDS", 0.0)


async def take(free: CallSlots) -> "Future[None]":
    """A call in the next free slot."""
    call: Future[None] = Future()
    async with asyncio.timeout(10):
        await free.take()
    free.give_back_after(call)
    return call


async def is_full(free: CallSlots) -> bool:
    """Whether the next call has to wait."""
    waiting = asyncio.create_task(free.take())
    for _ in range(5):
        await asyncio.sleep(0)
    if waiting.done():
        free.give_back()
        return False
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return True


async def test_a_slot_is_free_again_when_the_call_has_ended() -> None:
    free = CallSlots(1)
    call = await take(free)
    assert await is_full(free)
    call.set_result(None)
    await asyncio.sleep(0)
    assert not await is_full(free)
    (await take(free)).set_exception(OSError())
    await take(free)
    assert await is_full(free)


@pytest.mark.usefixtures("held_up_at_once")
async def test_a_call_that_is_held_up_gives_its_slot_back_once() -> None:
    free = CallSlots(1)
    first = await take(free)
    second = await take(free)
    for call in (first, second):
        call.set_result(None)
    third = await take(free)
    third.set_result(None)
    for _ in range(5):
        await asyncio.sleep(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slots, "HELD_UP_SECONDS", 60.0)
        await take(free)
        assert await is_full(free)


@pytest.mark.usefixtures("held_up_at_once")
async def test_the_number_of_calls_without_a_slot_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "MAX_HELD_UP", 2)
    free = CallSlots(1)
    calls = [await take(free) for _ in range(3)]
    for _ in range(5):
        assert await is_full(free)
    calls[0].set_result(None)
    await take(free)


class TestStuckContainers:
    """A container about which calls time out although the engine answers others."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def stuck(self, clock: Clock) -> StuckContainers:
        """`bad` is stuck."""
        stuck = StuckContainers(clock=clock)
        stuck.answered("other")
        assert stuck.timed_out("bad", seconds=TIMEOUT_SECONDS)
        return stuck

    def test_a_timeout_is_the_containers_fault_only_if_the_engine_answered_meanwhile(self, clock: Clock) -> None:
        stuck = StuckContainers(clock=clock)
        assert not stuck.timed_out("bot", seconds=TIMEOUT_SECONDS)
        stuck.answered(None)
        clock.now += TIMEOUT_SECONDS + 1
        assert not stuck.timed_out("bot", seconds=TIMEOUT_SECONDS)
        assert "bot" not in stuck
        stuck.answered("other")
        assert not stuck.timed_out(None, seconds=TIMEOUT_SECONDS)
        assert stuck.timed_out("bot", seconds=TIMEOUT_SECONDS)
        assert "bot" in stuck
        assert "other" not in stuck

    def test_it_is_asked_again_after_a_pause(self, stuck: StuckContainers, clock: Clock) -> None:
        for _ in range(2):
            with pytest.raises(ContainerStuckError, match="cannot kill it: "), stuck.attempt("bad", "kill it"):
                pass
            clock.now += PAUSE_SECONDS
            with stuck.attempt("bad", "kill it"):
                pass
        assert "bad" in stuck

    def test_an_answer_ends_it(self, stuck: StuckContainers, clock: Clock) -> None:
        clock.now += PAUSE_SECONDS
        with stuck.attempt("bad", "kill it"):
            stuck.answered("bad")
        assert "bad" not in stuck

    def test_few_are_asked_at_the_same_time(self, stuck: StuckContainers, clock: Clock) -> None:
        for number in range(ATTEMPTS):
            assert stuck.timed_out(f"bad-{number}", seconds=TIMEOUT_SECONDS)
        clock.now += PAUSE_SECONDS
        running = [stuck.attempt(f"bad-{number}", "kill it") for number in range(ATTEMPTS)]
        for attempt in running:
            attempt.__enter__()
        with pytest.raises(ContainerStuckError), stuck.attempt("bad", "kill it"):
            pass
        running[0].__exit__(None, None, None)
        with stuck.attempt("bad", "kill it"):
            pass

    def test_one_about_which_nobody_calls_any_more_is_forgotten(self, stuck: StuckContainers, clock: Clock) -> None:
        clock.now += FORGET_SECONDS + 1
        stuck.answered("other")
        assert stuck.timed_out("another", seconds=TIMEOUT_SECONDS)
        assert "bad" not in stuck
