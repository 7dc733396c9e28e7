"""The guard that disconnects a bot without room for what arrives."""

import errno
import sqlite3
from pathlib import Path

import pytest

from bot_runtime import room
from bot_runtime.contract import ConnectionState, EventType
from bot_runtime.storage import guard as module
from bot_runtime.storage.guard import StorageGuard
from bot_runtime.storage.journal import Journal, Position
from bot_runtime.storage.spool import Spool
from bot_runtime.storage.volume import Space, measure, used_bytes

TOTAL = 16 << 30


class Setup:
    """A guard, and what it depends on. `calls` are what it asks of the connection."""

    def __init__(self, directory: Path, store: sqlite3.Connection, held: ConnectionState | None = None) -> None:
        self.store = store
        self.free = TOTAL // 2
        self.calls: list[str] = []
        self.taken = 0
        self.spool = Spool(store, failed=lambda exc: self.guard.write_failed(exc))
        self.journal = Journal(directory / "arrivals", Position(0, 0))
        self.guard = StorageGuard(
            self.spool,
            self.journal,
            self,
            held=held,
            take_in=self.take_in,
            measure=lambda: Space(self.free, TOTAL),
        )

    def hold(self, state: ConnectionState, message: str) -> None:
        assert message
        self.calls.append(state)

    def resume(self) -> None:
        self.calls.append("resume")

    def take_in(self) -> None:
        self.taken += 1

    def check(self) -> None:
        """Check twice, since a change must be reported once."""
        self.guard.check()
        self.guard.check()

    def writable(self, possible: bool) -> None:
        self.store.execute(f"PRAGMA query_only = {'OFF' if possible else 'ON'}")


@pytest.fixture
def setup(tmp_path: Path, store: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> Setup:
    """A bot with a small spool."""
    monkeypatch.setattr(room, "SPOOL_BYTES", 4000)
    monkeypatch.setattr(room, "SPOOL_RESUME_BYTES", 3000)
    return Setup(tmp_path, store)


async def test_a_full_spool_holds_the_connection_until_it_is_fetched(setup: Setup) -> None:
    setup.check()
    assert setup.calls == []
    for _ in range(10):
        setup.spool.append(EventType.MESSAGE_UPSERT, {"text": "x" * 300})
    setup.check()
    assert setup.calls == ["spool-full"]
    await setup.spool.page(spool_id=setup.spool.spool_id, after=1, limit=1, wait_seconds=0)
    setup.check()
    assert setup.calls == ["spool-full"], "not for a single event"
    await setup.spool.page(spool_id=setup.spool.spool_id, after=5, limit=1, wait_seconds=0)
    setup.check()
    assert setup.calls == ["spool-full", "resume"]


def test_a_disk_without_room_holds_the_connection(setup: Setup) -> None:
    setup.free = 0
    setup.check()
    setup.free = room.MIN_FREE_BYTES
    setup.check()
    assert setup.calls == ["disk-full"]
    setup.free = 2 * room.MIN_FREE_BYTES
    setup.check()
    assert setup.calls == ["disk-full", "resume"]


def test_what_cannot_be_written_holds_the_connection_at_once_and_is_written_when_possible(setup: Setup) -> None:
    setup.writable(False)
    setup.spool.append(EventType.LOGOUT, {})
    assert setup.calls == ["disk-error"]
    setup.check()
    assert (setup.calls, setup.taken) == (["disk-error"], 0)
    setup.writable(True)
    setup.check()
    assert (setup.calls, setup.taken) == (["disk-error", "resume"], 1)
    assert [event.type for event in setup.spool.history] == [EventType.LOGOUT]


@pytest.mark.parametrize(
    ("error", "state"),
    [(OSError(errno.ENOSPC, "full"), "disk-full"), (OSError(errno.EDQUOT, "quota"), "disk-full"),
     (OSError(errno.EIO, "broken"), "disk-error")],
)  # fmt: skip
def test_the_error_decides_why_the_connection_is_held(setup: Setup, error: OSError, state: str) -> None:
    setup.guard.write_failed(error)
    assert setup.calls == [state]


def test_nothing_is_tried_while_there_is_no_room(setup: Setup) -> None:
    setup.free = 0
    setup.guard.write_failed(OSError(errno.ENOSPC, "full"))
    setup.check()
    assert (setup.calls, setup.taken) == (["disk-full"], 0)


async def test_a_connection_that_was_not_started_for_lack_of_room_is_started_when_there_is_room(
    tmp_path: Path, store: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_HELD_SECONDS", 3600.0)
    setup = Setup(tmp_path, store, held=ConnectionState.DISK_FULL)
    setup.guard.start()
    setup.check()
    assert setup.calls == ["disk-full", "resume"]
    setup.guard.close()


def test_the_space_of_a_directory(tmp_path: Path) -> None:
    found = measure(tmp_path, 1 << 62)
    assert 0 <= found.free_bytes <= found.total_bytes
    assert found.total_bytes > 0


def test_a_bot_has_no_more_space_than_it_may_use(tmp_path: Path) -> None:
    assert measure(tmp_path, 1000) == Space(free_bytes=1000, total_bytes=1000)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "one").write_bytes(bytes(300))
    (tmp_path / "two").write_bytes(bytes(200))
    (tmp_path / "link").symlink_to("/")
    assert used_bytes(tmp_path) == 501, "a link counts, not what it points to"
    assert measure(tmp_path, 1000) == Space(free_bytes=499, total_bytes=1000)
    assert measure(tmp_path, 400) == Space(free_bytes=0, total_bytes=400)
