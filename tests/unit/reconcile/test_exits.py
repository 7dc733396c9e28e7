"""Why a container ended, from what is seen of it."""

import pytest

from bot_runtime.contract import ExitCode
from orchestrator.engine.base import ContainerState, ObservedContainer
from orchestrator.reconcile.exits import classify


def ended(code: int | None, *, oom: bool = False) -> ObservedContainer:
    return ObservedContainer(id="c", name="c", state=ContainerState.EXITED, exit_code=code, oom_killed=oom)


@pytest.mark.parametrize(
    ("container", "reason", "terminal"),
    [
        (None, "container-removed", False),
        (ended(None), "exited", False),
        (ended(ExitCode.STOPPED), "exited", False),
        (ended(1), "crashed", False),
        (ended(2), "crashed", False),
        (ended(ExitCode.INTERNAL_ERROR), "crashed", False),
        (ended(137), "killed", False),
        (ended(137, oom=True), "oom-killed", False),
        (ended(1, oom=True), "oom-killed", False),
        (ended(ExitCode.INVALID_CONFIG), "invalid-config", True),
        (ended(ExitCode.SESSION_IN_USE), "session-in-use", False),
        (ended(ExitCode.DISK_FULL), "disk-full", False),
        (ended(ExitCode.RECONNECT_FAILED), "reconnect-failed", False),
        (ended(ExitCode.SESSION_UNREADABLE), "session-unreadable", False),
    ],
)
def test_the_reason_of_an_exit(container: ObservedContainer | None, reason: str, terminal: bool) -> None:
    found = classify(container, None)
    assert (found.reason, found.terminal) == (reason, terminal)
    assert found.message


def test_a_kill_by_the_controller_keeps_its_reason() -> None:
    found = classify(ended(137), ("liveness-failed", "does not answer"))
    assert (found.reason, found.message, found.terminal) == ("liveness-failed", "does not answer", False)


def test_a_crash_reports_its_exit_code() -> None:
    assert "139" in classify(ended(139), None).message
