"""The spool of events."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bot_runtime.contract import PAGE_BYTES, ConnectionState, Event, EventType
from bot_runtime.room import MIN_FREE_BYTES, SPOOL_BYTES, hold
from bot_runtime.storage.spool import HISTORY, TRANSIENT, TRANSIENT_BYTES, UNWRITTEN, Spool
from bot_runtime.storage.sqlite import open_store, waiting_bytes


@contextmanager
def spool_at(path: Path, transient_bytes: int = TRANSIENT_BYTES) -> Iterator[Spool]:
    store = open_store(path / "runtime.db")
    try:
        yield Spool(store, transient_bytes=transient_bytes)
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


async def test_a_page_ends_with_the_event_that_makes_it_large(spool: Spool) -> None:
    text = "\x01" * (PAGE_BYTES // 16)  # six bytes each in JSON
    for _ in range(20):
        spool.append(EventType.MESSAGE_UPSERT, {"text": text})
    assert await numbers(spool) == [1, 2, 3]
    spool.append(EventType.MESSAGE_UPSERT, {"text": text * 4})
    assert await numbers(spool, after=20) == [21]


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


def typing(spool: Spool, times: int) -> None:
    for number in range(times):
        spool.append(EventType.PRESENCE_UPDATE, {"id": f"{number:05}@lid", "presence": "composing"})


async def everything(spool: Spool) -> list[Event]:
    """Read and acknowledge until nothing is left, as the orchestrator does; the events."""
    events: list[Event] = []
    after = 0
    while items := (page := await spool.page(spool_id=spool.spool_id, after=after, limit=500, wait_seconds=0)).items:
        events += items
        assert page.next == items[-1].seq
        after = page.next
    return events


async def test_messages_are_never_dropped_in_favour_of_typing_notices(tmp_path: Path) -> None:
    with spool_at(tmp_path) as spool:
        for number in range(5):
            spool.append(EventType.MESSAGE_UPSERT, {"messages": [{"id": str(number)}]})
        typing(spool, 11_000)
        dropped = spool.cursor().dropped
        assert 0 < dropped < 11_000
        assert spool.waiting_bytes < 1.01 * TRANSIENT_BYTES
        events = await everything(spool)
    texts = [event.data["messages"][0]["id"] for event in events if event.type is EventType.MESSAGE_UPSERT]
    assert texts == ["0", "1", "2", "3", "4"]
    notices = [event.data["id"] for event in events if event.type is EventType.PRESENCE_UPDATE]
    assert notices == [f"{number:05}@lid" for number in range(dropped, 11_000)], "the newest, in order"


@pytest.mark.parametrize("kind", sorted(set(EventType) - TRANSIENT))
async def test_only_events_that_describe_the_present_are_dropped(tmp_path: Path, kind: EventType) -> None:
    with spool_at(tmp_path, transient_bytes=2000) as spool:
        spool.append(kind, {"this": "stays"})
        typing(spool, 100)
        assert (await everything(spool))[0].data == {"this": "stays"}


async def test_drops_are_counted_and_reported_once_when_the_orchestrator_reads_again(tmp_path: Path) -> None:
    with spool_at(tmp_path, transient_bytes=2000) as spool:
        typing(spool, 100)
        dropped = spool.cursor().dropped
    with spool_at(tmp_path, transient_bytes=2000) as again:
        assert again.cursor().dropped == dropped > 0
        reports = [event.data for event in await everything(again) if event.type is EventType.EVENTS_DROPPED]
        assert reports == [{"count": dropped, "total": dropped}]
        typing(again, 100)
        more = again.cursor().dropped - dropped
    with spool_at(tmp_path, transient_bytes=2000) as third:
        reports = [event.data for event in await everything(third) if event.type is EventType.EVENTS_DROPPED]
        assert reports == [{"count": more, "total": dropped + more}]


async def test_a_reader_passes_over_numbers_that_were_dropped(tmp_path: Path) -> None:
    with spool_at(tmp_path, transient_bytes=2000) as spool:
        typing(spool, 3)
        assert await numbers(spool, limit=2) == [1, 2]
        typing(spool, 100)
        after_gap = await numbers(spool, after=2)
        assert after_gap[0] > 3
        assert after_gap[-1] == spool.cursor().last_seq == 104, "the report of the drops"
        assert await numbers(spool, after=104) == []


async def test_a_reader_that_lost_its_cursor_waits_instead_of_asking_again_at_once(spool: Spool) -> None:
    record(spool, 3)
    await numbers(spool, after=3)
    page = await spool.page(spool_id="", after=0, limit=10, wait_seconds=0)
    assert (page.items, page.next) == ([], 3)


def test_the_size_of_what_waits_is_the_same_after_a_restart(tmp_path: Path) -> None:
    with spool_at(tmp_path, transient_bytes=2000) as spool:
        record(spool, 50)
        typing(spool, 100)
        size = spool.waiting_bytes
    store = open_store(tmp_path / "runtime.db")
    assert (waiting_bytes(store), Spool(store, transient_bytes=2000).waiting_bytes) == (size, size)
    store.close()


async def test_acknowledged_events_free_their_space(tmp_path: Path) -> None:
    with spool_at(tmp_path) as spool:
        for _ in range(300):
            spool.append(EventType.MESSAGE_UPSERT, {"text": "x" * 60_000})
        assert spool.waiting_bytes > 300 * 60_000
        await numbers(spool, after=300)
        assert spool.waiting_bytes == 0
        for _ in range(30):
            spool.shrink()
    assert (tmp_path / "runtime.db").stat().st_size < 8 << 20


def room(
    before: ConnectionState | None, *, spool_bytes: int = 0, free: int = 1 << 30, total: int = 1 << 40
) -> str | None:
    return hold(before, spool_bytes=spool_bytes, free_bytes=free, total_bytes=total)


def test_a_bot_holds_off_when_its_spool_is_full_until_there_is_ample_room() -> None:
    assert room(None, spool_bytes=SPOOL_BYTES - 1) is None
    held = ConnectionState.SPOOL_FULL
    assert room(None, spool_bytes=SPOOL_BYTES) is held
    assert room(held, spool_bytes=SPOOL_BYTES - 1) is held
    assert room(held, spool_bytes=SPOOL_BYTES // 2) is None


@pytest.mark.parametrize(("total", "needed"), [(1 << 40, MIN_FREE_BYTES), (32 << 20, 2 << 20)])
def test_a_bot_holds_off_when_its_disk_is_full_until_there_is_ample_room(total: int, needed: int) -> None:
    assert room(None, free=needed, total=total) is None
    held = ConnectionState.DISK_FULL
    assert room(None, free=needed - 1, total=total, spool_bytes=SPOOL_BYTES) is held
    assert room(held, free=2 * needed - 1, total=total) is held
    assert room(held, free=2 * needed, total=total) is None


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


def test_a_damaged_store_is_set_aside_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"runtime.db{suffix}").write_bytes(b"no database at all" * 100 + suffix.encode())
    (tmp_path / "runtime.damaged-journal").write_bytes(b"of an earlier one")
    with spool_at(tmp_path) as spool:
        record(spool)
        assert spool.cursor().last_seq == 1
    for suffix in ("", "-wal", "-shm"):
        assert (tmp_path / f"runtime.damaged{suffix}").read_bytes().endswith(b"at all" + suffix.encode())
    assert not (tmp_path / "runtime.damaged-journal").exists()


@pytest.mark.parametrize("code", ["SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_CANTOPEN", "SQLITE_BUSY"])
def test_a_store_that_cannot_be_used_just_now_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    with spool_at(tmp_path) as spool:
        record(spool, 3)

    class FailingConnection(sqlite3.Connection):
        def executescript(self, _: str) -> sqlite3.Cursor:
            error = sqlite3.OperationalError(code)
            error.sqlite_errorcode = getattr(sqlite3, code)
            raise error

    connect = sqlite3.connect
    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", lambda *args, **more: connect(*args, **more, factory=FailingConnection))
        with pytest.raises(sqlite3.OperationalError):
            open_store(tmp_path / "runtime.db")
    assert not (tmp_path / "runtime.damaged").exists()
    with spool_at(tmp_path) as again:
        assert again.cursor().last_seq == 3


async def test_events_on_a_full_disk_are_written_when_there_is_room(tmp_path: Path) -> None:
    store = open_store(tmp_path / "runtime.db")
    failures: list[Exception] = []
    spool = Spool(store, failed=failures.append)
    (pages,) = store.execute("PRAGMA page_count").fetchone()
    store.execute(f"PRAGMA max_page_count = {pages}")
    long = "x" * 100_000
    spool.append(EventType.LOGOUT, {"reason": long})
    spool.append(EventType.PRESENCE_UPDATE, {"id": long})
    assert (spool.cursor().dropped, spool.cursor().last_seq, len(spool.history)) == (1, 0, 0)
    with pytest.raises(sqlite3.OperationalError):
        spool.flush()
    assert len(failures) == 2
    store.execute("PRAGMA max_page_count = 100000")
    spool.flush()
    record(spool)
    events = await everything(spool)
    assert [event.type for event in events] == [EventType.LOGOUT, EventType.ERROR, EventType.EVENTS_DROPPED]
    assert spool.waiting_bytes == 0
    store.close()


def test_not_more_than_a_thousand_events_wait_for_room_in_memory(tmp_path: Path) -> None:
    store = open_store(tmp_path / "runtime.db")
    spool = Spool(store)
    store.execute("PRAGMA query_only = ON")
    record(spool, UNWRITTEN + 10)
    assert spool.cursor().dropped == 10
    store.execute("PRAGMA query_only = OFF")
    spool.flush()
    assert spool.cursor().last_seq == UNWRITTEN
    store.close()


async def test_events_can_be_read_while_nothing_can_be_written(tmp_path: Path) -> None:
    with spool_at(tmp_path) as spool:
        record(spool, 3)
    store = open_store(tmp_path / "runtime.db")
    failures: list[Exception] = []
    again = Spool(store, failed=failures.append)
    store.execute("PRAGMA query_only = ON")
    assert await numbers(again, after=2) == [3]
    assert failures
    store.execute("PRAGMA query_only = OFF")
    assert await numbers(again, after=2) == [3]
    assert again.cursor().acked_seq == 2
    store.close()


def test_two_processes_cannot_write_one_store(tmp_path: Path) -> None:
    with spool_at(tmp_path) as spool:
        record(spool)
        other = sqlite3.connect(tmp_path / "runtime.db", timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("SELECT * FROM events")
        other.close()


def test_a_store_of_an_earlier_version_can_become_smaller_too(tmp_path: Path) -> None:
    before = sqlite3.connect(tmp_path / "runtime.db")
    before.executescript(
        "PRAGMA journal_mode = WAL;"
        "CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT, data BLOB, timestamp TEXT);"
        "INSERT INTO events (type, data, timestamp) VALUES ('error', '{}', '2026-01-01T00:00:00+00:00');"
    )
    before.close()
    for _ in range(2):
        store = open_store(tmp_path / "runtime.db")
        assert store.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert Spool(store).cursor().last_seq == 1
        store.close()
