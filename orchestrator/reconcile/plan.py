"""What to do next for one bot: facts in, one decision with its reason out. Pure: no I/O, no clock of its own.

`plan` is asked again after every action, until it answers NOTHING; so each decision is one small step, and a controller
that dies between two of them is followed by one that is asked the same question. What comes first wins:

    deletion > a foreign container in our place > not approved or stopped > replacement (drift, restart, new session)
    > recording an exit > waiting for the restart's time > start > probes > the runtime's own state
"""

from dataclasses import dataclass, field
from enum import StrEnum

from bot_runtime.contract import ConnectionState
from orchestrator.engine.base import ContainerState, ObservedContainer
from orchestrator.reconcile.restart_policy import RestartHistory
from orchestrator.states import Phase

PROBE_REASONS = frozenset({"liveness-failed", "startup-timeout"})
"""Reasons of a KILL that rest on probes alone."""
REMOVING_POLL = 0.5
"""Seconds until an engine that is busy removing a container is looked at again."""


class Action(StrEnum):
    """One step of the worker."""

    NOTHING = "nothing"
    CREATE = "create"
    """Make the container and start it."""
    START = "start"
    STOP = "stop"
    """SIGTERM, and be asked again at the deadline."""
    KILL = "kill"
    REMOVE = "remove"
    CLEAR_SESSION = "clear-session"
    """Remove the volume, with the session in it."""
    PURGE = "purge"
    """Remove the volume and forget the bot."""
    RECORD_EXIT = "record-exit"
    """Keep exit code and last log lines, and let the restart policy decide."""


@dataclass(frozen=True, slots=True)
class Desired:
    """What people want of the bot (`bots`)."""

    container_name: str
    spec_hash: str
    identity: tuple[tuple[str, str], ...]
    """Labels and values that make a container this bot's: owner, server and bot id. The name alone does not: bot
    `b-c` of server `a` and bot `c` of server `a-b` have the same one."""
    approved: bool
    rejected: bool
    running: bool
    deleting: bool
    restart_generation: int
    session_generation: int


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the controller remembers of the bot (`bot_status`, and the stop under way)."""

    run_open: bool = False
    """A container was started and its end has not been recorded."""
    restart_generation: int = 0
    session_generation: int = 0
    history: RestartHistory = field(default_factory=RestartHistory)
    next_start_at: float | None = None
    crash_loop: bool = False
    halted: str | None = None
    """Reason code for which only a person (or a new spec) may start the bot again."""
    halted_message: str = ""
    spec_hash: str = ""
    """The specification for which `history` and `halted` hold: it also changes with the installation's settings."""
    stop_deadline: float | None = None
    """When a SIGTERM under way becomes a SIGKILL."""
    refusals: int = 0
    """Times in a row that the engine refused to start the bot."""
    replace: bool = False
    """The last run hung or never answered: only a new container is trusted, not another start of the same one."""
    healthy_since: float | None = None
    """When the container that runs now first answered."""
    last_failure: str = ""
    """Reason code of the last recorded exit."""
    last_failure_message: str = ""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What probes have found out about the container that runs now."""

    since: float
    """When this container was started or adopted."""
    seen: bool = False
    """It has answered at least once since then."""
    failures: int = 0
    """Probes in a row that got no answer."""
    failing: bool = False
    """Liveness failed as often in a row as the threshold says."""
    failure: str = ""
    connection: ConnectionState | None = None
    connection_message: str = ""
    previous: tuple[Phase, str, str] | None = None
    """Phase, reason and message to keep for an adopted container until it answers."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Times of the plan in seconds."""

    startup_timeout: float


@dataclass(frozen=True, slots=True)
class Decision:
    """One step, and what the bot's status says from now on."""

    action: Action
    phase: Phase
    reason: str = ""
    message: str = ""
    requeue_after: float | None = None
    """Seconds after which to ask again although nothing happened."""


_CONNECTION_PHASES: dict[ConnectionState, tuple[Phase, str, str]] = {
    ConnectionState.CONNECTING: (Phase.STARTING, "connecting", "connecting to WhatsApp"),
    ConnectionState.PAIRING: (Phase.PAIRING, "waiting-for-scan", "scan the QR code or enter the pairing code"),
    ConnectionState.PAIRING_EXPIRED: (Phase.PAIRING, "pairing-expired", "nobody scanned; ask for the QR code again"),
    ConnectionState.ONLINE: (Phase.ONLINE, "", ""),
    ConnectionState.RECONNECTING: (Phase.DEGRADED, "reconnecting", "the connection to WhatsApp was lost"),
    ConnectionState.DEAF: (Phase.DEGRADED, "deaf", "connected, but WhatsApp does not answer"),
    ConnectionState.CONFLICT: (Phase.DEGRADED, "conflict", "another client uses this session; restart to take it back"),
    ConnectionState.LOGGED_OUT: (Phase.LOGGED_OUT, "logged-out", "unlinked from the phone; restart to pair again"),
    ConnectionState.BANNED: (Phase.BANNED, "banned", "WhatsApp refuses this account"),
    ConnectionState.OUTDATED: (
        Phase.OUTDATED,
        "outdated",
        "WhatsApp refuses this client version; update the bot image",
    ),
    ConnectionState.RECONNECT_FAILED: (Phase.DEGRADED, "reconnect-failed", "WhatsApp could not be reached"),
    ConnectionState.CLOSING: (Phase.STOPPING, "closing", "the bot is closing its connection"),
}


def plan(
    wanted: Desired,
    known: Remembered,
    container: ObservedContainer | None,
    probed: ProbeResult | None,
    limits: Limits,
    *,
    now: float,
) -> Decision:
    """The next step for one bot. `probed` is None while no container runs; `now` is a Unix time."""
    if container is not None and not is_ours(wanted, container):
        if wanted.deleting:
            return Decision(Action.PURGE, Phase.STOPPING, "deleting")
        if not (wanted.approved and wanted.running):
            return _at_rest(wanted)
        message = f"a container named {container.name} exists and is not ours; remove or rename it"
        return Decision(Action.NOTHING, Phase.BACKING_OFF, "name-taken", message)
    if wanted.deleting:
        return _take_down(
            known, container, now, Decision(Action.PURGE, Phase.STOPPING, "deleting", "removing container and session")
        )
    if not (wanted.approved and wanted.running):
        return _take_down(known, container, now, _at_rest(wanted))
    if container is not None and (reason := _replace_reason(wanted, known, container)):
        return _replace(wanted, known, container, reason, now)
    if container is None or not container.up:
        return _bring_up(wanted, known, container, now)
    assert probed is not None  # noqa: S101 - the worker makes one for every container that runs
    return _watch(known, probed, limits, now)


def is_ours(wanted: Desired, container: ObservedContainer) -> bool:
    """Whether a container is this bot's, by its labels."""
    return all(container.labels.get(label) == value for label, value in wanted.identity)


def _at_rest(wanted: Desired) -> Decision:
    if wanted.rejected:
        return Decision(Action.NOTHING, Phase.PENDING, "rejected", "approval was refused")
    if not wanted.approved:
        return Decision(Action.NOTHING, Phase.PENDING, "not-approved", "waiting for approval")
    return Decision(Action.NOTHING, Phase.STOPPED)


def _take_down(known: Remembered, container: ObservedContainer | None, now: float, afterwards: Decision) -> Decision:
    """Stop and remove the container, then do `afterwards`."""
    if container is None:
        return afterwards
    reason, message = afterwards.reason or "stop-requested", afterwards.message
    if container.up:
        return _stop(known, reason, message, now)
    return _remove(container, Phase.STOPPING, reason, message)


def _stop(known: Remembered, reason: str, message: str, now: float) -> Decision:
    if known.stop_deadline is None:
        return Decision(Action.STOP, Phase.STOPPING, reason, message)
    if now >= known.stop_deadline:
        return Decision(Action.KILL, Phase.STOPPING, reason, message)
    return Decision(Action.NOTHING, Phase.STOPPING, reason, message, requeue_after=known.stop_deadline - now)


def _remove(container: ObservedContainer, phase: Phase, reason: str, message: str) -> Decision:
    if container.state is ContainerState.REMOVING:
        return Decision(Action.NOTHING, phase, reason, message, requeue_after=REMOVING_POLL)
    return Decision(Action.REMOVE, phase, reason, message)


def _replace_reason(wanted: Desired, known: Remembered, container: ObservedContainer) -> str:
    """Why this container cannot stay, or an empty string."""
    if wanted.session_generation > known.session_generation:
        return "session-reset"
    if container.labels.get("botdock.spec-hash") != wanted.spec_hash or container.name != wanted.container_name:
        return "spec-changed"
    if container.state in {ContainerState.DEAD, ContainerState.REMOVING}:
        return "container-dead"
    if container.up and wanted.restart_generation > known.restart_generation:
        return "restart-requested"
    return ""


def _replace(wanted: Desired, known: Remembered, container: ObservedContainer, reason: str, now: float) -> Decision:
    message = {
        "session-reset": "starting over with a new session",
        "spec-changed": "replacing the container because its specification changed",
        "container-dead": "replacing a container that the engine gave up",
        "restart-requested": "restarting as requested",
    }[reason]
    if container.up:
        return _stop(known, reason, message, now)
    return _remove(container, Phase.STARTING, reason, message)


def _bring_up(wanted: Desired, known: Remembered, container: ObservedContainer | None, now: float) -> Decision:
    """The container is not there or does not run, and should."""
    if wanted.session_generation > known.session_generation:
        return Decision(Action.CLEAR_SESSION, Phase.STARTING, "session-reset", "starting over with a new session")
    asked_for = wanted.restart_generation > known.restart_generation
    if known.run_open and not asked_for:
        return Decision(Action.RECORD_EXIT, Phase.BACKING_OFF)
    if not asked_for:
        if known.halted is not None:
            return Decision(Action.NOTHING, Phase.SKIPPED, known.halted, known.halted_message)
        if known.next_start_at is not None and now < known.next_start_at:
            phase = Phase.CRASH_LOOP if known.crash_loop else Phase.BACKING_OFF
            return Decision(
                Action.NOTHING,
                phase,
                known.last_failure,
                known.last_failure_message,
                requeue_after=known.next_start_at - now,
            )
    if container is not None and asked_for:
        # A new container, because the image behind the same name may be a newer one by now.
        return _remove(container, Phase.STARTING, "restart-requested", "restarting as requested")
    if container is not None and known.replace:
        return _remove(container, Phase.STARTING, known.last_failure, "replacing the container")
    action = Action.CREATE if container is None else Action.START
    return Decision(action, Phase.STARTING, "starting", "starting the container")


def _watch(known: Remembered, probed: ProbeResult, limits: Limits, now: float) -> Decision:
    """The container runs and should."""
    if known.stop_deadline is not None:
        # A stop was under way and people changed their minds; the process has its SIGTERM and will end.
        return _stop(known, "stop-requested", "", now)
    if probed.failing:
        return Decision(Action.KILL, Phase.DEGRADED, "liveness-failed", f"does not answer: {probed.failure}")
    if not probed.seen:
        deadline = probed.since + limits.startup_timeout
        if now >= deadline:
            return Decision(
                Action.KILL,
                Phase.STARTING,
                "startup-timeout",
                f"did not become healthy within {limits.startup_timeout:g} s",
            )
        phase, reason, message = probed.previous or (Phase.STARTING, "starting", "waiting for the first answer")
        return Decision(Action.NOTHING, phase, reason, message, requeue_after=deadline - now)
    if probed.connection is None:
        return Decision(Action.NOTHING, Phase.DEGRADED, "unhealthy", probed.failure)
    phase, reason, message = _CONNECTION_PHASES[probed.connection]
    return Decision(Action.NOTHING, phase, reason, probed.connection_message or message)
