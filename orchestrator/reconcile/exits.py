"""Why a container ended: exit code and circumstances in, a stable reason and a sentence out. Pure."""

from dataclasses import dataclass

from bot_runtime.contract import ExitCode
from orchestrator.engine.base import ObservedContainer

SIGKILL_EXIT = 137


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of one container run."""

    reason: str
    message: str
    terminal: bool = False
    """Starting it again unchanged is pointless."""


_BY_CODE: dict[int, Exit] = {
    ExitCode.STOPPED: Exit("exited", "the bot ended by itself"),
    ExitCode.INVALID_CONFIG: Exit("invalid-config", "the bot refuses its configuration", terminal=True),
    ExitCode.SESSION_IN_USE: Exit("session-in-use", "another process uses this bot's session"),
    ExitCode.RECONNECT_FAILED: Exit("reconnect-failed", "WhatsApp could not be reached"),
    ExitCode.SESSION_UNREADABLE: Exit("session-unreadable", "the session file is damaged; restart with fresh to pair"),
}


def classify(container: ObservedContainer | None, kill_reason: tuple[str, str] | None) -> Exit:
    """Why a run ended. `container` is None when it was removed; `kill_reason` is our own, when we sent SIGKILL."""
    if container is None:
        return Exit("container-removed", "the container was removed by somebody else")
    if kill_reason is not None:
        return Exit(*kill_reason)
    if container.oom_killed:
        return Exit("oom-killed", "out of memory: the container's limit was reached")
    if container.exit_code is None:
        return Exit("exited", "the container does not run")
    if container.exit_code == SIGKILL_EXIT:
        return Exit("killed", "killed by SIGKILL from outside")
    return _BY_CODE.get(container.exit_code, Exit("crashed", f"the bot crashed with exit code {container.exit_code}"))
