"""The plan, case by case: the desired state, what is remembered and what is observed, and the step that follows."""

from dataclasses import replace
from typing import Any

import pytest

from bot_runtime.contract import ConnectionState
from orchestrator.engine.base import ContainerState, ObservedContainer
from orchestrator.reconcile.plan import Action, Decision, Desired, Limits, ProbeResult, Remembered, plan
from orchestrator.states import Phase

NOW = 1_000_000.0
LIMITS = Limits(startup_timeout_seconds=60)
LABELS = {
    "botdock.owner": "owner-1",
    "botdock.server": "server1",
    "botdock.bot-id": "bot-1",
    "botdock.spec-hash": "hash-1",
}
DESIRED = Desired(
    container_name="botdock-server1-bot-1",
    spec_hash="hash-1",
    settings_hash="settings-1",
    identity=tuple(LABELS.items())[:3],
    approved=True,
    rejected=False,
    running=True,
    deleting=False,
    restart_generation=0,
    session_generation=0,
)
STOPPED = replace(DESIRED, running=False)
PENDING = replace(DESIRED, approved=False)
DELETING = replace(DESIRED, deleting=True)
RUN = Remembered(run_open=True)
STOPPING = Remembered(run_open=True, stop_deadline=NOW + 4)
OVERDUE = Remembered(run_open=True, stop_deadline=NOW)
SEEN = ProbeResult(since=NOW - 100, seen=True, connection=ConnectionState.ONLINE)


def container(state: ContainerState = ContainerState.RUNNING, **changes: Any) -> ObservedContainer:
    labels = {**LABELS, **changes.pop("labels", {})}
    return replace(ObservedContainer(id="c1", name="botdock-server1-bot-1", state=state, labels=labels), **changes)


UP = container()
EXITED = container(ContainerState.EXITED)
FOREIGN = container(labels={"botdock.owner": "owner-2"})


def step(
    desired: Desired,
    remembered: Remembered = RUN,
    there: ObservedContainer | None = UP,
    probe: ProbeResult | None = None,
) -> Decision:
    """The decision; a container that runs has been seen healthy unless `probe` says otherwise."""
    up = there is not None and there.up
    return plan(desired, remembered, there, (probe or SEEN) if up else None, LIMITS, now=NOW)


def brief(decision: Decision) -> tuple[Action, str, str]:
    return decision.action, decision.phase, decision.reason


@pytest.mark.parametrize(
    ("desired", "there", "remembered", "expected"),
    [
        (PENDING, None, Remembered(), (Action.NOTHING, "pending", "not-approved")),
        (replace(PENDING, rejected=True), None, Remembered(), (Action.NOTHING, "pending", "rejected")),
        (STOPPED, None, Remembered(), (Action.NOTHING, "stopped", "")),
        (STOPPED, UP, RUN, (Action.STOP, "stopping", "stop-requested")),
        (PENDING, UP, RUN, (Action.STOP, "stopping", "not-approved")),
        (STOPPED, UP, STOPPING, (Action.NOTHING, "stopping", "stop-requested")),
        (STOPPED, UP, OVERDUE, (Action.KILL, "stopping", "stop-requested")),
        (STOPPED, EXITED, STOPPING, (Action.REMOVE, "stopping", "stop-requested")),
        (STOPPED, container(ContainerState.REMOVING), RUN, (Action.NOTHING, "stopping", "stop-requested")),
        (STOPPED, container(ContainerState.PAUSED), RUN, (Action.STOP, "stopping", "stop-requested")),
    ],
)
def test_a_bot_that_should_not_run_is_taken_down(
    desired: Desired, there: ObservedContainer | None, remembered: Remembered, expected: tuple[Action, str, str]
) -> None:
    assert brief(step(desired, remembered, there)) == expected


@pytest.mark.parametrize(
    ("there", "remembered", "action"),
    [
        (UP, RUN, Action.STOP),
        (UP, OVERDUE, Action.KILL),
        (EXITED, RUN, Action.REMOVE),
        (None, Remembered(), Action.PURGE),
    ],
)
def test_a_deleted_bot_is_stopped_before_its_volume_and_row_are_removed(
    there: ObservedContainer | None, remembered: Remembered, action: Action
) -> None:
    decision = step(DELETING, remembered, there)
    assert brief(decision) == (action, "stopping", "deleting")


def test_deletion_takes_precedence_over_everything_else() -> None:
    desired = replace(DELETING, approved=False, running=False, restart_generation=9, session_generation=9)
    remembered = Remembered(halted="image-missing", next_start_at=NOW + 9, run_open=True)
    assert step(desired, remembered, None).action is Action.PURGE


@pytest.mark.parametrize("label", ["botdock.owner", "botdock.server", "botdock.bot-id"])
def test_a_container_is_ours_only_by_all_three_labels(label: str) -> None:
    decision = step(DESIRED, RUN, container(labels={label: "another"}))
    assert brief(decision) == (Action.NOTHING, "backing-off", "name-taken")


@pytest.mark.parametrize(
    ("desired", "expected"),
    [
        (DELETING, (Action.PURGE, "stopping", "deleting")),
        (STOPPED, (Action.NOTHING, "stopped", "")),
        (PENDING, (Action.NOTHING, "pending", "not-approved")),
    ],
)
def test_a_foreign_container_is_never_touched(desired: Desired, expected: tuple[Action, str, str]) -> None:
    assert brief(step(desired, RUN, FOREIGN)) == expected


@pytest.mark.parametrize(
    ("desired", "there", "reason"),
    [
        (replace(DESIRED, session_generation=1, restart_generation=1), UP, "session-reset"),
        (DESIRED, container(labels={"botdock.spec-hash": "hash-0"}), "spec-changed"),
        (DESIRED, container(name="renamed"), "spec-changed"),
        (replace(DESIRED, restart_generation=1), UP, "restart-requested"),
    ],
)
def test_a_container_that_cannot_stay_is_stopped_first(desired: Desired, there: ObservedContainer, reason: str) -> None:
    assert brief(step(desired, RUN, there)) == (Action.STOP, "stopping", reason)
    assert step(desired, STOPPING, there).requeue_after_seconds == 4
    assert step(desired, OVERDUE, there).action is Action.KILL


@pytest.mark.parametrize(
    ("desired", "there", "reason"),
    [
        (replace(DESIRED, session_generation=1), EXITED, "session-reset"),
        (DESIRED, container(ContainerState.EXITED, labels={"botdock.spec-hash": "hash-0"}), "spec-changed"),
        (DESIRED, container(ContainerState.DEAD), "container-dead"),
    ],
)
def test_a_container_that_cannot_stay_is_removed_when_it_does_not_run(
    desired: Desired, there: ObservedContainer, reason: str
) -> None:
    assert brief(step(desired, Remembered(), there)) == (Action.REMOVE, "starting", reason)


def test_a_new_session_removes_the_volume_when_no_container_holds_it() -> None:
    assert step(replace(DESIRED, session_generation=1), Remembered(), None).action is Action.CLEAR_SESSION
    assert step(replace(DESIRED, session_generation=1), Remembered(session_generation=1), None).action is Action.CREATE


@pytest.mark.parametrize(
    ("remembered", "there", "action"),
    [
        (Remembered(), None, Action.CREATE),
        (Remembered(), EXITED, Action.START),
        (Remembered(), container(ContainerState.CREATED), Action.START),
        (RUN, EXITED, Action.RECORD_EXIT),
        (RUN, None, Action.RECORD_EXIT),
        (Remembered(replace=True), EXITED, Action.REMOVE),
        (Remembered(next_start_at=NOW), EXITED, Action.START),
    ],
)
def test_a_bot_that_should_run_is_started(
    remembered: Remembered, there: ObservedContainer | None, action: Action
) -> None:
    assert step(DESIRED, remembered, there).action is action


@pytest.mark.parametrize(("crash_loop", "phase"), [(False, Phase.BACKING_OFF), (True, Phase.CRASH_LOOP)])
def test_a_restart_waits_for_its_time(crash_loop: bool, phase: Phase) -> None:
    remembered = Remembered(
        next_start_at=NOW + 7, crash_loop=crash_loop, last_failure="crashed", last_failure_message="why"
    )
    assert step(DESIRED, remembered, EXITED) == Decision(
        Action.NOTHING, phase, "crashed", "why", requeue_after_seconds=7
    )


def test_a_halted_bot_waits_for_an_operator() -> None:
    remembered = Remembered(halted="image-missing", halted_message="why")
    assert step(DESIRED, remembered, None) == Decision(Action.NOTHING, Phase.SKIPPED, "image-missing", "why")


@pytest.mark.parametrize("remembered", [Remembered(next_start_at=NOW + 7), Remembered(halted="crashed"), RUN])
def test_a_requested_restart_does_not_wait(remembered: Remembered) -> None:
    asked = replace(DESIRED, restart_generation=1)
    assert step(asked, remembered, EXITED).action is Action.REMOVE, "the image behind the same name may be a newer one"
    assert step(asked, remembered, None).action is Action.CREATE


def test_a_stop_in_progress_is_completed_when_the_bot_is_started_again() -> None:
    assert brief(step(DESIRED, STOPPING)) == (Action.NOTHING, "stopping", "stop-requested")
    assert step(DESIRED, OVERDUE).action is Action.KILL


def test_a_bot_that_stops_answering_is_killed() -> None:
    probe = replace(SEEN, failing=True, failure="ConnectTimeout")
    decision = step(DESIRED, probe=probe)
    assert brief(decision) == (Action.KILL, "degraded", "liveness-failed")
    assert decision.message == "does not answer: ConnectTimeout"


@pytest.mark.parametrize(
    ("age", "action"), [(0.0, Action.NOTHING), (59.9, Action.NOTHING), (60.0, Action.KILL), (99.0, Action.KILL)]
)
def test_a_bot_has_the_startup_timeout_for_its_first_answer(age: float, action: Action) -> None:
    decision = step(DESIRED, probe=ProbeResult(since=NOW - age))
    assert (decision.action, decision.phase) == (action, Phase.STARTING)
    assert decision.reason == ("starting" if action is Action.NOTHING else "startup-timeout")
    assert action is Action.KILL or decision.requeue_after_seconds == pytest.approx(60 - age)


def test_an_adopted_bot_keeps_its_phase_until_it_answers() -> None:
    probe = ProbeResult(since=NOW, previous=(Phase.ONLINE, "", ""))
    assert brief(step(DESIRED, probe=probe)) == (Action.NOTHING, "online", "")


@pytest.mark.parametrize(
    ("connection", "phase", "reason"),
    [
        (None, "degraded", "unhealthy"),
        (ConnectionState.CONNECTING, "starting", "connecting"),
        (ConnectionState.PAIRING, "pairing", "waiting-for-scan"),
        (ConnectionState.PAIRING_EXPIRED, "pairing", "pairing-expired"),
        (ConnectionState.ONLINE, "online", ""),
        (ConnectionState.RECONNECTING, "degraded", "reconnecting"),
        (ConnectionState.DEAF, "degraded", "deaf"),
        (ConnectionState.CONFLICT, "degraded", "conflict"),
        (ConnectionState.LOGGED_OUT, "logged-out", "logged-out"),
        (ConnectionState.BANNED, "banned", "banned"),
        (ConnectionState.OUTDATED, "outdated", "outdated"),
        (ConnectionState.RECONNECT_FAILED, "degraded", "reconnect-failed"),
        (ConnectionState.DISK_FULL, "degraded", "disk-full"),
        (ConnectionState.DISK_ERROR, "degraded", "disk-error"),
        (ConnectionState.SPOOL_FULL, "degraded", "spool-full"),
        (ConnectionState.CLOSING, "stopping", "closing"),
    ],
)
def test_the_phase_of_a_running_bot_is_its_connection(
    connection: ConnectionState | None, phase: str, reason: str
) -> None:
    decision = step(DESIRED, probe=replace(SEEN, connection=connection))
    assert brief(decision) == (Action.NOTHING, phase, reason)
    assert decision.requeue_after_seconds is None


def test_every_state_of_the_connection_has_a_phase() -> None:
    for connection in ConnectionState:
        assert step(DESIRED, probe=replace(SEEN, connection=connection)).action is Action.NOTHING
