"""What the controller holds of a bot, and how it becomes a row."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.db.models import Bot, BotKey, BotStatus
from orchestrator.engine.base import ContainerState, ObservedContainer
from orchestrator.reconcile.bot_state import BotState, BotStates, from_unix
from orchestrator.reconcile.plan import Action, Decision, Remembered
from orchestrator.reconcile.restart_policy import RestartHistory
from orchestrator.states import Phase

NOW = 1_800_000_000.0
BOT = Bot(id="bot-1", server_name="server1", name="Bot", restart_generation=3, session_generation=2)
ONLINE = Decision(Action.NOTHING, Phase.ONLINE)

times = st.none() | st.floats(0, 4e9)
remembered = st.builds(
    Remembered,
    run_open=st.booleans(),
    restart_generation=st.integers(0, 2**53),
    history=st.builds(
        RestartHistory,
        streak=st.integers(0, 2**31),
        failed_starts=st.integers(0, 2**31),
        recent=st.lists(st.floats(0, 4e9), max_size=5).map(tuple),
        crash_loop=st.booleans(),
    ),
    next_start_at=times,
    halted=st.none() | st.text(),
    stop_deadline=times,
    healthy_since=times,
    last_failure_message=st.text(),
)


def status(**values: Any) -> BotStatus:
    return BotStatus(bot_key=BotKey("bot-1"), server_name="server1", **values)


def loaded(**values: Any) -> BotState:
    return BotState.from_rows(BOT, status(**values))


@given(remembered=remembered)
def test_what_a_controller_remembers_survives_its_restart(remembered: Remembered) -> None:
    kept = msgspec.json.decode(msgspec.json.encode(stored(remembered)))
    assert loaded(memory=kept).remembered == remembered


def stored(remembered: Remembered) -> object:
    state = loaded()
    state.remembered = remembered
    return state.columns()["memory"]


def test_without_memory_nothing_is_outstanding() -> None:
    assert loaded(memory={}).remembered == Remembered(restart_generation=3, session_generation=2)


def test_memory_of_another_version_leaves_nothing_outstanding() -> None:
    assert loaded(memory={"run_open": "perhaps"}).remembered == Remembered(restart_generation=3, session_generation=2)


def test_fields_of_a_newer_version_are_ignored() -> None:
    assert loaded(memory={"run_open": True, "invented": 1}).remembered == Remembered(run_open=True)


def test_an_unknown_phase_is_ignored() -> None:
    assert loaded(phase="unheard-of").phase is Phase.PENDING


def test_the_status_is_read_once_and_later_only_the_desired_state() -> None:
    states = BotStates()
    state = states.reload(BOT, status(phase="online", restarts=4))
    assert states.reload(Bot(**{**BOT.model_dump(), "name": "New"}), status(phase="stopped", restarts=9)) is state
    assert (state.bot.name, state.phase, state.restarts) == ("New", Phase.ONLINE, 4)


def test_a_bot_recreated_under_the_same_id_has_its_own_past() -> None:
    states = BotStates()
    states.reload(BOT, status(phase="online", restarts=4, memory={"session_generation": 2}))
    again = Bot(**{**BOT.model_dump(), "created_at": datetime(2026, 1, 1, tzinfo=UTC)})
    state = states.reload(again, status())
    assert states.by_id == {"bot-1": state}
    assert (state.phase, state.restarts, state.remembered) == (Phase.PENDING, 0, loaded(memory={}).remembered)
    assert "memory" in state.written


def test_only_a_change_of_phase_or_reason_is_an_event() -> None:
    state = loaded()
    state.settle(Decision(Action.NOTHING, Phase.STARTING, "starting", "first words"), now=NOW)
    state.settle(Decision(Action.NOTHING, Phase.STARTING, "starting", "other words"), now=NOW)
    state.settle(Decision(Action.NOTHING, Phase.STARTING, "connecting"), now=NOW)
    state.settle(ONLINE, now=NOW + 1)
    assert [(event.data["from"], event.data["to"], event.data["reason"]) for event in state.events] == [
        ("pending", "starting", "starting"),
        ("starting", "starting", "connecting"),
        ("starting", "online", ""),
    ]
    assert state.events[-1].timestamp == datetime.fromtimestamp(NOW + 1, UTC)


def test_connected_at_is_set_exactly_while_online() -> None:
    state = loaded()
    state.settle(ONLINE, now=NOW)
    assert state.columns()["connected_at"] == from_unix(NOW)
    state.settle(Decision(Action.NOTHING, Phase.DEGRADED, "reconnecting"), now=NOW + 5)
    assert state.columns()["connected_at"] is None


def test_only_what_changed_is_written() -> None:
    state = loaded()
    state.written.update(state.changes())
    assert state.changes() == {}
    state.restarts += 1
    assert state.changes() == {"restarts": 1}


def test_a_foreign_container_is_not_reported_as_the_bots() -> None:
    state = loaded()
    state.container = ObservedContainer(id="c1", name="n", state=ContainerState.RUNNING, address="10.0.0.1")
    assert state.columns()["container_id"] == "c1"
    state.settle(Decision(Action.NOTHING, Phase.BACKING_OFF, "name-taken"), now=NOW)
    shown = state.columns()
    assert [shown[name] for name in ("container_id", "container_name", "container_state", "address")] == [None] * 4


def test_no_token_is_in_the_status() -> None:
    state = loaded()
    state.bot = Bot(**{**BOT.model_dump(), "runtime_token": "s3cret"})
    state.remembered = replace(state.remembered, run_open=True)
    assert "s3cret" not in str(state.columns())
