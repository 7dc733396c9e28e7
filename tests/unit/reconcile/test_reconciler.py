"""How the reconciler handles probes, notifications and sweeps, without its tasks."""

from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any, cast

import pytest

from bot_runtime.contract import ConnectionState, EventCursor, Fault, Health, Versions
from orchestrator.db.models import Bot, BotStatus
from orchestrator.engine.base import EngineEvent, EngineEventKind, EngineUnavailableError
from orchestrator.engine.memory.engine import MemoryEngine
from orchestrator.reconcile.bot_state import BotState
from orchestrator.reconcile.metrics import Metrics
from orchestrator.reconcile.plan import ProbeResult
from orchestrator.reconcile.probes import FailedProbe, ProbeTarget
from orchestrator.reconcile.reconciler import Reconciler
from orchestrator.reconcile.status_store import StatusStore
from orchestrator.states import DesiredState
from tests.unit.reconcile.doubles import OWNER, SERVER, MemoryStore, World, settings

BOT = "bot-1"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NO_ANSWER = FailedProbe("ConnectTimeout", alive=False)
REFUSAL = FailedProbe("answered 500", alive=True)


@pytest.fixture
def reconciler(world: World) -> Reconciler:
    return Reconciler(
        engine=MemoryEngine(owner=OWNER, server=SERVER, host=world.host),
        store=cast("StatusStore", MemoryStore(world.rows, world.rows.epoch)),
        settings=settings(probe_failure_threshold=3),
        owner=OWNER,
        epoch=world.rows.epoch,
        clock=world.clock,
        random=Random(0),
        metrics=Metrics(),
    )


@pytest.fixture
async def running(reconciler: Reconciler, world: World) -> BotState:
    """A bot that was started a while ago and has not answered yet."""
    world.rows.insert(BOT)
    await world.controller.work(BOT)
    await reconciler.sweep()
    state = reconciler.state(BOT)
    assert state is not None
    state.probe = ProbeResult(since=100.0)
    await drain(reconciler)
    return state


async def drain(reconciler: Reconciler) -> int:
    """Empty the queue; how many bots were in it."""
    waiting = reconciler.queue.depth
    for _ in range(waiting):
        reconciler.queue.done(await reconciler.queue.get())
    return waiting


def target(state: BotState, *, run: float = 100.0) -> ProbeTarget:
    assert state.container is not None
    return ProbeTarget(BOT, state.container.id, "10.0.0.1", run, "token")


def health(connection: ConnectionState = ConnectionState.ONLINE, **changes: Any) -> Health:
    values: dict[str, Any] = {
        "bot_id": BOT,
        "server_name": SERVER,
        "boot_id": "boot",
        "started_at": NOW,
        "connection": connection,
        "since": NOW,
        "phone_number": "49170",
        "push_name": None,
        "last_heartbeat": NOW,
        "last_activity": None,
        "connection_attempts": 0,
        "last_error": None,
        "events": EventCursor(spool_id="s", last_seq=0, acked_seq=0),
        "event_history_size": 0,
        "creds_updated_at": None,
        "config_generation": 1,
        "memory_bytes": 1,
        "versions": Versions(runtime="1", neonize="1", python="3"),
    }
    return Health(**{**values, **changes})


class TestProbes:
    async def test_the_first_answer_marks_a_run_as_healthy(
        self, reconciler: Reconciler, running: BotState, world: World
    ) -> None:
        reconciler.observer.on_probe(target(running), health())
        assert running.probe == ProbeResult(since=100.0, seen=True, connection=ConnectionState.ONLINE)
        assert running.remembered.healthy_since == world.clock.now
        assert await drain(reconciler) == 1

    async def test_an_unchanged_answer_wakes_no_worker(self, reconciler: Reconciler, running: BotState) -> None:
        reconciler.observer.on_probe(target(running), health())
        await drain(reconciler)
        reconciler.observer.on_probe(
            target(running), health(last_heartbeat=datetime(2026, 1, 2, tzinfo=UTC), memory_bytes=2)
        )
        assert await drain(reconciler) == 0
        assert running.health is not None
        assert running.health.memory_bytes == 2

    async def test_liveness_fails_at_the_threshold_and_one_answer_resets_the_count(
        self, reconciler: Reconciler, running: BotState
    ) -> None:
        for result in (health(), NO_ANSWER, NO_ANSWER, health(), NO_ANSWER, NO_ANSWER):
            reconciler.observer.on_probe(target(running), result)
            assert not running.probe.failing  # type: ignore[union-attr]
        reconciler.observer.on_probe(target(running), NO_ANSWER)
        assert running.probe is not None
        assert running.probe.failing
        assert running.probe.failure == "ConnectTimeout"

    async def test_an_error_response_counts_as_alive_but_not_as_healthy(
        self, reconciler: Reconciler, running: BotState
    ) -> None:
        reconciler.observer.on_probe(target(running), health())
        for _ in range(10):
            reconciler.observer.on_probe(target(running), REFUSAL)
        assert running.probe is not None
        assert (running.probe.failing, running.probe.failures) == (False, 0)
        assert running.probe.connection is None
        assert running.columns()["healthy"] is False

    async def test_one_lost_answer_does_not_change_the_connection_state(
        self, reconciler: Reconciler, running: BotState
    ) -> None:
        reconciler.observer.on_probe(target(running), health())
        reconciler.observer.on_probe(target(running), NO_ANSWER)
        assert running.probe is not None
        assert running.probe.connection is ConnectionState.ONLINE

    @pytest.mark.parametrize("result", [NO_ANSWER, health()], ids=["failure", "answer"])
    async def test_late_results_of_an_earlier_run_are_ignored(
        self, reconciler: Reconciler, running: BotState, result: FailedProbe | Health
    ) -> None:
        for _ in range(5):
            reconciler.observer.on_probe(target(running, run=50.0), result)
        assert running.probe == ProbeResult(since=100.0)
        assert running.health is None
        assert await drain(reconciler) == 0

    async def test_results_of_another_container_or_bot_are_ignored(
        self, reconciler: Reconciler, running: BotState
    ) -> None:
        reconciler.observer.on_probe(ProbeTarget(BOT, "another", "10.0.0.1", 100.0, "token"), NO_ANSWER)
        reconciler.observer.on_probe(ProbeTarget("unheard-of", "another", "10.0.0.1", 100.0, "token"), NO_ANSWER)
        assert running.probe == ProbeResult(since=100.0)

    @pytest.mark.parametrize(
        ("connection", "message"), [(ConnectionState.RECONNECTING, "stream ended"), (ConnectionState.ONLINE, "")]
    )
    async def test_the_last_error_is_reported_while_it_is_relevant(
        self, reconciler: Reconciler, running: BotState, connection: ConnectionState, message: str
    ) -> None:
        fault = Fault(code="stream", message="stream ended", at=NOW)
        reconciler.observer.on_probe(target(running), health(connection, last_error=fault))
        assert running.probe is not None
        assert running.probe.connection_message == message

    async def test_the_paired_number_is_kept_while_the_bot_connects(
        self, reconciler: Reconciler, running: BotState
    ) -> None:
        reconciler.observer.on_probe(target(running), health())
        reconciler.observer.on_probe(target(running), health(ConnectionState.CONNECTING, phone_number=None))
        assert running.paired_number == "49170"
        reconciler.observer.on_probe(target(running), health(ConnectionState.LOGGED_OUT, phone_number=None))
        assert running.paired_number is None


class TestSweeps:
    async def test_a_row_older_than_the_one_a_worker_has_read_is_not_used(
        self, reconciler: Reconciler, running: BotState, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = reconciler._store
        older: list[tuple[Bot, BotStatus]] = []
        await store.read_bots(older.extend)
        world.rows.update(BOT, desired_state=DesiredState.STOPPED)
        newer = await store.bot(BOT)
        assert newer is not None
        reconciler._states.reload(*newer)

        async def read_before_the_update(take: Callable[[list[tuple[Bot, BotStatus]]], None]) -> None:
            take(older)

        monkeypatch.setattr(store, "read_bots", read_before_the_update)
        await reconciler.sweep()
        assert running.bot.desired_state == DesiredState.STOPPED
        assert BOT in reconciler._states.stale

    async def test_a_bot_that_was_deleted_since_a_sweep_read_it_is_not_started(
        self, reconciler: Reconciler, running: BotState, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        older: list[tuple[Bot, BotStatus]] = []
        await reconciler._store.read_bots(older.extend)
        world.rows.delete(BOT)
        world.host.remove_by_hand(f"botdock-{SERVER}-{BOT}")
        reconciler.on_change(BOT)
        await reconciler._worker.reconcile(BOT)

        async def read_before_the_deletion(take: Callable[[list[tuple[Bot, BotStatus]]], None]) -> None:
            take(older)

        monkeypatch.setattr(reconciler._store, "read_bots", read_before_the_deletion)
        await reconciler.sweep()
        await reconciler._worker.reconcile(BOT)
        assert reconciler.state(BOT) is None
        assert not world.host.containers

    async def test_a_change_without_a_notification_is_found(
        self, reconciler: Reconciler, running: BotState, world: World
    ) -> None:
        world.rows.bots[BOT].runtime_token = "changed by hand"  # grows no generation
        await reconciler.sweep()
        assert BOT in reconciler._states.stale

    async def test_an_unchanged_bot_is_not_read_again(self, reconciler: Reconciler, running: BotState) -> None:
        await reconciler.sweep()
        assert BOT not in reconciler._states.stale
        assert not running.observed_dirty
        assert await drain(reconciler) == 1

    async def test_a_changed_container_is_inspected(
        self, reconciler: Reconciler, running: BotState, world: World
    ) -> None:
        world.host.crash(f"botdock-{SERVER}-{BOT}", 1)
        await reconciler.sweep()
        assert running.observed_dirty

    async def test_a_bot_whose_row_is_gone_is_read_again(
        self, reconciler: Reconciler, running: BotState, world: World
    ) -> None:
        world.rows.delete(BOT)
        await reconciler.sweep()
        assert BOT in reconciler._states.stale

    async def test_an_orphan_is_removed_only_after_ten_seconds(
        self, reconciler: Reconciler, running: BotState, world: World
    ) -> None:
        labels = {"botdock.owner": OWNER, "botdock.server": SERVER, "botdock.bot-id": "gone"}
        world.host.add_foreign("orphan", labels)
        for _ in range(3):
            await reconciler.sweep()
        assert "orphan" in world.host.containers
        world.clock.now += 10
        await reconciler.sweep()
        assert "orphan" not in world.host.containers


class TestHints:
    async def test_an_event_of_our_own_start_is_ignored(self, reconciler: Reconciler, running: BotState) -> None:
        assert running.container is not None
        started = EngineEvent(EngineEventKind.START, BOT, running.container.id)
        running.own_start = running.container.id
        reconciler._on_engine_event(started)
        assert not running.observed_dirty
        reconciler._on_engine_event(started)
        assert running.observed_dirty

    async def test_an_exit_between_our_start_and_the_next_is_not_ignored(
        self, reconciler: Reconciler, running: BotState
    ) -> None:
        assert running.container is not None
        running.own_start = running.container.id
        reconciler._on_engine_event(EngineEvent(EngineEventKind.DIE, BOT, running.container.id))
        assert running.observed_dirty
        running.observed_dirty = False
        reconciler._on_engine_event(EngineEvent(EngineEventKind.START, BOT, running.container.id))
        assert running.observed_dirty

    async def test_an_exit_while_the_first_sweep_still_reads_calls_for_another(self, reconciler: Reconciler) -> None:
        died = EngineEvent(EngineEventKind.DIE, BOT, "listed as running")
        reconciler._on_engine_event(died)
        assert reconciler._sweep_now.is_set()
        await reconciler.sweep()
        reconciler._sweep_now.clear()
        reconciler._on_engine_event(died)
        assert not reconciler._sweep_now.is_set()

    async def test_an_unavailable_engine_is_logged_once_for_all_bots(
        self, reconciler: Reconciler, running: BotState, caplog: pytest.LogCaptureFixture
    ) -> None:
        away = EngineUnavailableError("the engine does not answer")
        for _ in range(3):
            reconciler._failed(BOT, "engine-unavailable", away)
        reconciler._on_engine_event(EngineEvent(EngineEventKind.CONNECTED))
        reconciler._failed(BOT, "engine-unavailable", away)
        told = [entry for entry in caplog.records if entry.levelname == "WARNING"]
        assert len(told) == 2


class TestSharedFailures:
    def others(self, reconciler: Reconciler, number: int, *, failures: int) -> None:
        for index in range(number):
            other = BotState(Bot(id=f"other-{index}", server_name=SERVER, name="Other"))
            other.probe = ProbeResult(since=100.0, seen=True, failures=failures)
            reconciler._states.by_id[other.bot_id] = other

    async def test_one_silent_bot_among_bots_that_answer_may_be_replaced(
        self, reconciler: Reconciler, running: BotState
    ) -> None:
        self.others(reconciler, 3, failures=0)
        assert reconciler.observer.refusal(BOT, "liveness-failed") == ""

    async def test_silence_of_all_bots_is_the_controllers_fault(
        self, reconciler: Reconciler, running: BotState, world: World
    ) -> None:
        self.others(reconciler, 3, failures=1)
        reconciler.observer.on_probe(target(running), FailedProbe("ConnectError", alive=False))
        assert "disconnected" in reconciler.observer.refusal(BOT, "liveness-failed")
        reconciler.observer.on_probe(target(running), health())
        assert "disconnected" in reconciler.observer.refusal("other-0", "liveness-failed")
        world.clock.now += 60
        assert reconciler.observer.refusal("other-0", "liveness-failed") == ""

    async def test_a_start_that_times_out_while_no_bot_answers_is_the_controllers_fault(
        self, reconciler: Reconciler, running: BotState
    ) -> None:
        self.others(reconciler, 3, failures=0)
        for answered_at, refused in ((150.0, False), (50.0, True)):
            for index in range(3):
                reconciler._states.by_id[f"other-{index}"].answered_at = answered_at
            assert bool(reconciler.observer.refusal(BOT, "startup-timeout")) is refused

    async def test_bots_that_answered_only_before_the_bot_fell_silent_show_nothing(
        self, reconciler: Reconciler, running: BotState, world: World
    ) -> None:
        self.others(reconciler, 3, failures=0)
        world.clock.now += 1
        reconciler.observer.on_probe(target(running), FailedProbe("ConnectError", alive=False))
        assert "disconnected" in reconciler.observer.refusal(BOT, "liveness-failed")
