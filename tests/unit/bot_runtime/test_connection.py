"""The driver of the connection, with a scripted library."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import msgspec
import pytest

from bot_runtime.contract import ConnectionState, Fault, Qr, RuntimeConfig
from bot_runtime.lifecycle import Restart
from bot_runtime.whatsapp import event_codes
from bot_runtime.whatsapp.connection import MAX_DIALS, WhatsAppConnection
from bot_runtime.whatsapp.core import Dial
from bot_runtime.whatsapp.inbox import End, Inbox, Item, PairingEnd, QrCode
from bot_runtime.whatsapp.messages import WITHOUT_CONTENT, Account, Arrival
from bot_runtime.whatsapp.state import ConnectionStatus

CONNECTED, DISCONNECTED = WITHOUT_CONTENT[event_codes.CONNECTED], WITHOUT_CONTENT[event_codes.DISCONNECTED]
DIAL = Dial(database=Path("session.db"), device=b"", log_level="WARN")


class Library:
    """Replaces the core and the inbox."""

    def __init__(self) -> None:
        self.core = self
        self.connecting = True
        self.dials = 1
        self.stops = 0
        self.disconnects = 0
        self.stuck = False
        self.dialled = asyncio.Event()

    def attach(
        self, _loop: asyncio.AbstractEventLoop, receive: Callable[[Item], None], _kept: Callable[[], None]
    ) -> None:
        self.report = receive

    def connect(self, _dial: Dial) -> None:
        self.connecting = True
        self.dials += 1
        self.dialled.set()

    def stop(self) -> None:
        self.stops += 1
        self.connecting = self.stuck

    def disconnect(self) -> None:
        self.disconnects += 1

    def wait_until_ended(self, _seconds: float) -> None: ...

    def is_connected(self) -> bool:
        return False


class Watcher:
    """Records the calls of the connection."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.restarts: list[Restart] = []
        self.gave_up_after: list[int] = []
        self.unreadable: list[str] = []
        self.told = asyncio.Event()

    def state_changed(self, status: ConnectionStatus, fault: Fault | None) -> None:
        self.states.append(status.state.value)
        self.told.set()

    def restart_needed(self, restart: Restart) -> None:
        self.restarts.append(restart)
        self.told.set()

    def reconnect_failed(self, attempts: int) -> None:
        self.gave_up_after.append(attempts)

    def session_unreadable(self, error: str) -> None:
        self.unreadable.append(error)

    def qr_shown(self, qr: Qr) -> None: ...
    def paired(self, account: Account) -> None: ...
    def arrived(self, arrival: Arrival) -> None: ...
    def journal_grew(self) -> None: ...

    async def until(self, state: ConnectionState) -> None:
        while self.states[-1] != state.value:
            self.told.clear()
            await asyncio.wait_for(self.told.wait(), 10)


class Setup:
    """A connection between a library and a watcher."""

    def __init__(self, **config: float) -> None:
        self.library, self.watcher = Library(), Watcher()
        settings = RuntimeConfig(reconnect_base_delay_seconds=0.001, max_reconnect_attempts=100)
        settings = msgspec.structs.replace(settings, **config)
        inbox = cast("Inbox", self.library)
        self.connection = WhatsAppConnection(
            inbox, DIAL, listener=self.watcher, config=lambda: settings, own_port=1, attempts=0
        )
        self.connection.attach()

    async def dialled(self) -> None:
        await asyncio.wait_for(self.library.dialled.wait(), 10)
        self.library.dialled.clear()


async def test_the_next_attempt_is_known_while_the_bot_waits_for_it() -> None:
    setup = Setup(reconnect_base_delay_seconds=1000.0)
    before = datetime.now(UTC)
    setup.library.report(End("no such host"))
    waiting = setup.connection.snapshot()
    assert waiting.fault is not None
    assert waiting.fault.message == "no such host"
    assert waiting.next_attempt_at is not None
    assert before + timedelta(seconds=225) <= waiting.next_attempt_at
    setup.library.report(CONNECTED)
    assert setup.connection.snapshot().next_attempt_at is None


async def test_no_attempt_is_announced_while_one_is_in_progress() -> None:
    setup = Setup()
    setup.library.report(End("no such host"))
    await setup.dialled()
    assert setup.connection.snapshot().next_attempt_at is None


async def test_after_a_drop_the_client_gets_one_retry_and_is_then_replaced() -> None:
    setup = Setup()
    setup.library.report(CONNECTED)
    setup.library.report(DISCONNECTED)
    assert setup.library.stops == 0
    await setup.dialled()
    assert (setup.library.stops, setup.connection.status.attempts) == (1, 1)
    setup.library.report(CONNECTED)
    assert setup.watcher.states == ["connecting", "online", "reconnecting", "reconnecting", "online"]
    assert setup.connection.reconnects == 1


async def test_a_client_that_reconnects_by_itself_is_left_alone() -> None:
    setup = Setup(reconnect_base_delay_seconds=3600)
    setup.library.report(CONNECTED)
    setup.library.report(DISCONNECTED)
    setup.library.report(CONNECTED)
    assert (setup.library.stops, setup.library.dials, setup.connection.reconnects) == (0, 1, 1)


async def test_the_end_of_a_stopped_client_is_not_a_failure() -> None:
    setup = Setup(reconnect_base_delay_seconds=3600)
    setup.library.report(End("dial failed"))
    assert setup.connection.status.attempts == 1
    setup.library.report(End(""))
    setup.library.report(DISCONNECTED)
    assert setup.connection.status.attempts == 1
    await setup.connection.close()


async def test_failed_attempts_are_repeated_up_to_the_limit() -> None:
    setup = Setup(max_reconnect_attempts=3)
    for attempt in (1, 2):
        setup.library.connecting = False
        setup.library.report(End("dial failed"))
        await setup.dialled()
        assert setup.connection.status.attempts == attempt
    setup.library.report(End("dial failed"))
    assert setup.watcher.gave_up_after == [3]
    assert setup.connection.status.state is ConnectionState.RECONNECT_FAILED


async def test_a_stuck_library_restarts_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot_runtime.whatsapp.connection.STOP_SECONDS", 0.01)
    setup = Setup()
    setup.library.stuck = True
    setup.library.report(QrCode("code"))
    setup.library.report(PairingEnd("timeout"))
    await until(lambda: bool(setup.watcher.restarts), setup.watcher.told)
    assert setup.watcher.restarts == [Restart(attempts=1)]


async def test_after_many_clients_the_process_restarts_because_each_leaks() -> None:
    setup = Setup()
    for _ in range(MAX_DIALS - 1):
        setup.library.report(CONNECTED)
        setup.library.report(End("gone"))
        await setup.dialled()
    setup.library.report(CONNECTED)
    setup.library.report(End("gone"))
    await until(lambda: bool(setup.watcher.restarts), setup.watcher.told)
    assert setup.library.dials == MAX_DIALS


async def test_a_pairing_timeout_before_the_code_expires_is_a_lost_connection() -> None:
    setup = Setup(reconnect_base_delay_seconds=3600)
    setup.library.report(QrCode("code"))
    setup.library.report(PairingEnd("timeout"))
    assert setup.watcher.states[-1] == "connecting"
    assert setup.connection.status.attempts == 1
    await setup.connection.close()


async def test_a_pairing_timeout_when_the_code_expires_waits_for_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = Setup()
    setup.library.report(QrCode("code"))
    assert setup.connection.qr is not None
    loop = asyncio.get_running_loop()
    nearly_expired = loop.time() + 59
    monkeypatch.setattr(loop, "time", lambda: nearly_expired)
    setup.library.report(PairingEnd("timeout"))
    assert setup.watcher.states[-1] == "pairing-expired"
    assert setup.connection.qr is None


async def test_the_first_code_is_valid_for_a_minute_and_the_next_ones_for_twenty_seconds() -> None:
    setup = Setup()
    for seconds in (60, 20, 20):
        setup.library.report(QrCode("code"))
        assert setup.connection.qr is not None
        left = setup.connection.qr.expires_at - datetime.now(UTC)
        assert timedelta(seconds=seconds - 5) < left <= timedelta(seconds=seconds)


async def test_a_session_that_the_library_cannot_read_is_not_retried() -> None:
    setup = Setup()
    setup.library.report(End("failed to upgrade database: unknown version"))
    assert setup.watcher.unreadable == ["failed to upgrade database: unknown version"]
    assert setup.library.dials == 1


async def test_a_connection_that_ended_without_an_event_is_detected() -> None:
    setup = Setup(reconnect_base_delay_seconds=3600)
    setup.library.report(CONNECTED)
    await setup.connection.check()
    assert setup.watcher.states[-1] == "reconnecting"
    await setup.connection.close()


async def until(condition: Callable[[], bool], changed: asyncio.Event) -> None:
    while not condition():
        changed.clear()
        await asyncio.wait_for(changed.wait(), 10)


async def test_before_a_restart_in_place_the_client_is_disconnected_and_no_state_reported() -> None:
    setup = Setup()
    setup.library.report(CONNECTED)
    states = list(setup.watcher.states)
    await setup.connection.close(restarting=True)
    setup.library.report(DISCONNECTED)
    assert (setup.library.disconnects, setup.library.stops) == (1, 0)
    assert setup.watcher.states == states


async def test_a_held_connection_is_stopped_and_resumes() -> None:
    setup = Setup()
    setup.library.report(CONNECTED)
    setup.connection.hold(ConnectionState.SPOOL_FULL, "no room")
    setup.library.report(End(""))
    setup.library.report(DISCONNECTED)
    setup.library.report(QrCode("late"))
    snapshot = setup.connection.snapshot()
    assert snapshot.status == ConnectionStatus(ConnectionState.SPOOL_FULL)
    assert snapshot.fault is not None
    assert (snapshot.fault.code, snapshot.fault.message) == ("spool-full", "no room")
    assert setup.connection.qr is None
    setup.connection.resume()
    await setup.dialled()
    assert (setup.library.stops, setup.library.dials) == (1, 2)
    setup.library.report(CONNECTED)
    assert setup.watcher.states == ["connecting", "online", "spool-full", "connecting", "online"]


async def test_a_connection_that_is_held_again_while_it_resumes_is_not_dialled() -> None:
    setup = Setup()
    for _ in range(3):
        setup.connection.hold(ConnectionState.SPOOL_FULL, "no room")
        setup.connection.resume()
    setup.connection.hold(ConnectionState.SPOOL_FULL, "no room")
    async with asyncio.timeout(10):
        while setup.library.stops < 4:  # noqa: ASYNC110 - it stops on other threads
            await asyncio.sleep(0)
    assert setup.library.dials == 1
    await setup.connection.close()


@pytest.mark.parametrize("error", ["database or disk is full", "disk I/O error", "unable to open database file"])
async def test_a_session_that_cannot_be_written_just_now_is_retried(error: str) -> None:
    setup = Setup(reconnect_base_delay_seconds=3600)
    setup.library.report(End(f"failed to upgrade database: {error}"))
    assert setup.watcher.unreadable == []
    assert setup.connection.status.attempts == 1
    await setup.connection.close()
