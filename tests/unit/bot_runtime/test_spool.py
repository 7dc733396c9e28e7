"""The spool of events."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bot_runtime.contract import EventType
from bot_runtime.storage.spool import HISTORY, Spool
from bot_runtime.storage.sqlite import open_store


@contextmanager
def spool_at(path: Path, capacity: int = 10_000) -> Iterator[Spool]:
    store = open_store(path / "runtime.db")
    try:
        yield Spool(store, capacity=capacity)
    finally:
        store.close()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with spool_at(tmp_path) as spool:
        yield spool


def record(spool: Spool, times: int = 1) -> None:
    for number in range(times):
        spool.append(EventType.ERROR, {"code": str(number)})


async def numbers(spool: Spool, after: int = 0, *, limit: int = 500, spool_id: str | None = None) -> list[int]:
    page = await spool.page(
        spool_id=spool.spool_id if spool_id is None else spool_id, after=after, limit=limit, wait_seconds=0
    )
    return [event.seq for event in page.items]


async def test_events_are_numbered_from_one_and_returned_oldest_first(spool: Spool) -> None:
    record(spool, 3)
    page = await spool.page(spool_id="", after=0, limit=2, wait_seconds=0)
    assert [(event.seq, event.data) for event in page.items] == [(1, {"code": "0"}), (2, {"code": "1"})]
    assert page.next == 2
    assert (await spool.page(spool_id=spool.spool_id, after=2, limit=2, wait_seconds=0)).next == 3


async def test_requesting_more_acknowledges_earlier_events(spool: Spool) -> None:
    record(spool, 3)
    assert await numbers(spool, after=2) == [3]
    assert await numbers(spool, after=0) == [3]
    assert spool.cursor().acked_seq == 2


async def test_unacknowledged_events_are_returned_again(spool: Spool) -> None:
    record(spool, 2)
    assert await numbers(spool) == [1, 2]
    assert await numbers(spool) == [1, 2]


@pytest.mark.parametrize("stranger", ["", "another"])
async def test_another_spools_cursor_acknowledges_nothing_and_starts_at_the_oldest(spool: Spool, stranger: str) -> None:
    record(spool, 3)
    assert await numbers(spool, after=2, spool_id=stranger) == [1, 2, 3]
    assert spool.cursor().acked_seq == 0


async def test_numbers_continue_after_a_restart_even_if_all_were_acknowledged(tmp_path: Path) -> None:
    with spool_at(tmp_path) as first:
        record(first, 2)
        await numbers(first, after=2)
        spool_id = first.spool_id
    with spool_at(tmp_path) as second:
        record(second)
        assert second.spool_id == spool_id
        assert await numbers(second, after=2) == [3]
        assert second.cursor().acked_seq == 2


async def test_a_number_that_the_orchestrator_knows_is_never_reused(spool: Spool) -> None:
    record(spool, 1)
    assert await numbers(spool, after=7) == []
    record(spool)
    assert await numbers(spool, after=7) == [8]


async def test_a_full_spool_drops_the_oldest_events_and_counts_them(tmp_path: Path) -> None:
    with spool_at(tmp_path, capacity=3) as spool:
        record(spool, 5)
        assert await numbers(spool) == [3, 4, 5]
        assert spool.cursor().dropped == 2
    with spool_at(tmp_path, capacity=3) as again:
        assert again.cursor().dropped == 2
        await numbers(again, after=4)
        record(again, 2)
        assert await numbers(again, after=4) == [5, 6, 7]
        assert again.cursor().dropped == 2


async def test_a_waiting_request_returns_with_the_next_event(spool: Spool) -> None:
    waiting = [asyncio.create_task(spool.page(spool_id="", after=0, limit=10, wait_seconds=60)) for _ in range(2)]
    await asyncio.sleep(0)
    record(spool)
    pages = await asyncio.gather(*waiting)
    assert [[event.seq for event in page.items] for page in pages] == [[1], [1]]


async def test_a_waiting_request_times_out_empty(spool: Spool) -> None:
    page = await spool.page(spool_id=spool.spool_id, after=0, limit=10, wait_seconds=0.01)
    assert (page.items, page.next) == ([], 0)


def test_the_history_holds_the_last_hundred_events_also_after_a_restart(tmp_path: Path) -> None:
    with spool_at(tmp_path) as spool:
        record(spool, HISTORY + 20)
        assert [spool.history[0].seq, spool.history[-1].seq, len(spool.history)] == [21, 120, 100]
    with spool_at(tmp_path) as again:
        assert [again.history[0].seq, again.history[-1].seq, len(again.history)] == [21, 120, 100]


def test_a_damaged_store_is_renamed(tmp_path: Path) -> None:
    (tmp_path / "runtime.db").write_bytes(b"no database at all" * 100)
    with spool_at(tmp_path) as spool:
        record(spool)
        assert spool.cursor().last_seq == 1
    assert (tmp_path / "runtime.damaged").exists()


def test_an_event_on_a_full_disk_is_counted(tmp_path: Path) -> None:
    store = open_store(tmp_path / "runtime.db")
    spool = Spool(store)
    (pages,) = store.execute("PRAGMA page_count").fetchone()
    store.execute(f"PRAGMA max_page_count = {pages}")
    spool.append(EventType.ERROR, {"message": "x" * 100_000})
    assert (spool.cursor().dropped, spool.cursor().last_seq) == (1, 0)
    store.execute("PRAGMA max_page_count = 100000")
    record(spool)
    assert spool.cursor().last_seq == 1
    store.close()


def test_two_processes_cannot_write_one_store(tmp_path: Path) -> None:
    with spool_at(tmp_path) as spool:
        record(spool)
        other = sqlite3.connect(tmp_path / "runtime.db", timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("SELECT * FROM events")
        other.close()
