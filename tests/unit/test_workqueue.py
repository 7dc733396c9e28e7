"""The queue's contract: one at a time, once while waiting, once more when dirtied, the earliest of the times."""

import asyncio
from collections.abc import Iterator

import pytest

from orchestrator.workqueue import WorkQueue


class ManualLoop:
    """Timers of the running loop, held until the test lets time pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        loop = asyncio.get_running_loop()
        self._start = loop.time()
        monkeypatch.setattr(loop, "time", lambda: self._start + self.now)

    async def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for _ in range(3):
            await asyncio.sleep(0)


@pytest.fixture
async def time(monkeypatch: pytest.MonkeyPatch) -> ManualLoop:
    return ManualLoop(monkeypatch)


@pytest.fixture
def queue() -> Iterator[WorkQueue]:
    queue = WorkQueue()
    yield queue
    queue.close()


def waiting(queue: WorkQueue) -> int:
    """The depth, read again (mypy assumes that a property does not change in a call)."""
    return queue.depth


async def test_first_come_first_served(queue: WorkQueue) -> None:
    for bot in "abc":
        queue.add(bot)
    assert [await queue.get() for _ in range(3)] == ["a", "b", "c"]


async def test_a_bot_added_many_times_while_it_waits_is_handed_out_once(queue: WorkQueue) -> None:
    for _ in range(5):
        queue.add("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert queue.depth == 0
    assert queue.idle


async def test_a_bot_added_while_it_is_handled_is_handed_out_once_more_afterwards(queue: WorkQueue) -> None:
    queue.add("a")
    await queue.get()
    for _ in range(5):
        queue.add("a")
    assert waiting(queue) == 0
    queue.done("a")
    assert waiting(queue) == 1
    await queue.get()
    queue.done("a")
    assert queue.idle


async def test_a_worker_waits_for_a_bot(queue: WorkQueue) -> None:
    worker = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not worker.done()
    queue.add("a")
    assert await worker == "a"


async def test_many_waiting_workers_share_the_bots(queue: WorkQueue) -> None:
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    for bot in "abc":
        queue.add(bot)
    assert sorted(await asyncio.gather(*workers)) == ["a", "b", "c"]


async def test_a_delayed_bot_is_handed_out_at_its_time(queue: WorkQueue, time: ManualLoop) -> None:
    queue.add_later("a", 10)
    await time.pass_time(9.9)
    assert queue.depth == 0
    await time.pass_time(0.2)
    assert queue.depth == 1


@pytest.mark.parametrize("delays", [(10, 5), (5, 10), (5, 5)])
async def test_the_earliest_time_counts(queue: WorkQueue, time: ManualLoop, delays: tuple[int, int]) -> None:
    for delay in delays:
        queue.add_later("a", delay)
    await time.pass_time(5.1)
    assert await queue.get() == "a"
    queue.done("a")
    await time.pass_time(60)
    assert queue.idle


async def test_a_delayed_bot_that_is_added_earlier_is_handed_out_once(queue: WorkQueue, time: ManualLoop) -> None:
    queue.add_later("a", 10)
    queue.add("a")
    assert await queue.get() == "a"
    queue.done("a")
    await time.pass_time(60)
    assert queue.idle


async def test_closing_drops_delayed_bots(queue: WorkQueue, time: ManualLoop) -> None:
    queue.add_later("a", 1)
    queue.close()
    await time.pass_time(60)
    assert queue.idle


async def test_no_bot_is_ever_handled_by_two_workers(queue: WorkQueue) -> None:
    active: set[str] = set()
    rounds = 0

    async def work() -> None:
        nonlocal rounds
        while True:
            bot = await queue.get()
            assert bot not in active
            active.add(bot)
            for _ in range(rounds % 4):
                await asyncio.sleep(0)
            rounds += 1
            active.discard(bot)
            queue.done(bot)

    async with asyncio.TaskGroup() as tasks:
        workers = [tasks.create_task(work()) for _ in range(4)]
        for number in range(500):
            queue.add("abc"[number % 3])
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            while not queue.idle:  # noqa: ASYNC110 - the queue has no event for this
                await asyncio.sleep(0)
        for worker in workers:
            worker.cancel()
    assert rounds >= 3
