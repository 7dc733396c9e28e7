"""The guard that disconnects a bot without room for what arrives."""

from sqlite3 import Connection

import pytest

from bot_runtime import room
from bot_runtime.contract import ConnectionState, EventType
from bot_runtime.storage import guard as module
from bot_runtime.storage.guard import StorageGuard
from bot_runtime.storage.spool import Spool


class HeldConnection:
    """Records what it is asked to do."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def hold(self, state: ConnectionState, message: str) -> None:
        assert message
        self.calls.append(state)

    def resume(self) -> None:
        self.calls.append("resume")


@pytest.fixture
def connection() -> HeldConnection:
    return HeldConnection()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small spool, and no timer: the tests check themselves."""
    monkeypatch.setattr(room, "SPOOL_BYTES", 4000)
    monkeypatch.setattr(room, "SPOOL_RESUME_BYTES", 3000)
    monkeypatch.setattr(module, "CHECK_SECONDS", 3600.0)
    monkeypatch.setattr(module, "CHECK_HELD_SECONDS", 3600.0)


async def test_a_full_spool_holds_the_connection_until_it_is_fetched(
    store: Connection, connection: HeldConnection
) -> None:
    spool = Spool(store)
    guard = StorageGuard(spool, connection, held=None)
    guard.start()
    guard.check()
    assert connection.calls == []
    for _ in range(10):
        spool.append(EventType.MESSAGE_UPSERT, {"text": "x" * 300})
    for _ in range(2):
        guard.check()
    assert connection.calls == ["spool-full"]
    await spool.page(spool_id=spool.spool_id, after=1, limit=1, wait_seconds=0)
    guard.check()
    assert connection.calls == ["spool-full"], "not for a single event"
    await spool.page(spool_id=spool.spool_id, after=5, limit=1, wait_seconds=0)
    for _ in range(2):
        guard.check()
    assert connection.calls == ["spool-full", "resume"]
    guard.close()


async def test_a_connection_that_was_not_started_for_lack_of_room_is_started_when_there_is_room(
    store: Connection, connection: HeldConnection
) -> None:
    spool = Spool(store)
    spool.append(EventType.CONNECTED, {})
    guard = StorageGuard(spool, connection, held=ConnectionState.SPOOL_FULL)
    guard.start()
    guard.check()
    assert connection.calls == ["spool-full", "resume"]
    guard.close()
