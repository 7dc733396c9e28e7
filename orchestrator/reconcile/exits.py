"""Why a container ended: exit code and circumstances in, a stable reason and a sentence out. Pure."""

from dataclasses import dataclass

from bot_runtime.contract import ExitCode
from orchestrator.engine.base import ObservedContainer
from orchestrator.reconcile.connection_message import CHECK_NETWORK

SIGKILL_EXIT = 137
DISK_FULL_RETRY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of one container run."""

    reason: str
    message: str
    terminal: bool = False
    """Starting it again unchanged would fail again."""
    retry_seconds: float | None = None
    """Not a fault of the bot: it does not count as a failure, and is started again after this time."""


_BY_CODE: dict[int, Exit] = {
    ExitCode.STOPPED: Exit("exited", "the bot exited by itself"),
    ExitCode.INVALID_CONFIG: Exit("invalid-config", "the bot rejected its configuration", terminal=True),
    ExitCode.SESSION_IN_USE: Exit("session-in-use", "another process uses this bot's session"),
    ExitCode.DISK_FULL: Exit("disk-full", "the disk of its volume is full", retry_seconds=DISK_FULL_RETRY_SECONDS),
    ExitCode.RECONNECT_FAILED: Exit("reconnect-failed", f"WhatsApp is unreachable; {CHECK_NETWORK}"),
    ExitCode.SESSION_UNREADABLE: Exit(
        "session-unreadable", "the session file is corrupt; restart with fresh to pair again"
    ),
}


def classify(container: ObservedContainer | None, kill_reason: tuple[str, str] | None) -> Exit:
    """Why a run ended. `container` is None when it was removed; `kill_reason` is set if we sent SIGKILL."""
    if container is None:
        return Exit("container-removed", "the container was removed externally")
    if kill_reason is not None:
        return Exit(*kill_reason)
    if container.oom_killed:
        return Exit("oom-killed", "out of memory: the container's limit was reached")
    if container.exit_code is None:
        return Exit("exited", "the container is not running")
    if container.exit_code == SIGKILL_EXIT:
        return Exit("killed", "killed by an external SIGKILL")
    return _BY_CODE.get(container.exit_code, Exit("crashed", f"the bot crashed with exit code {container.exit_code}"))
