"""The next step for one bot: facts in, one decision with its reason out. Pure: no I/O, no clock of its own.

`plan` is called again after every action, until it returns NOTHING. Each decision is one small step, so a new leader
continues where a controller died. In order of precedence:

    deletion > a foreign container under the bot's name > not approved or stopped > replacement (drift, restart, new
    session) > recording an exit > waiting for the restart's time > start > probes > the runtime's own state
"""

from dataclasses import dataclass, field
from enum import StrEnum

from bot_runtime.contract import ConnectionState
from orchestrator.engine.base import ContainerState, NetworkMissingError, ObservedContainer
from orchestrator.reconcile.restart_policy import RestartHistory
from orchestrator.reconcile.rollout import Replacement
from orchestrator.states import Phase

PROBE_REASONS = frozenset({"liveness-failed", "startup-timeout"})
"""Reasons of a KILL that are based on probes alone."""
VOLUME_LIMIT = "volume-limit"
"""The reason to stop a bot, and not to start it, whose volume holds more than it may."""
REMOVING_POLL_SECONDS = 0.5
"""Until a container that the engine is removing is inspected again."""


class Action(StrEnum):
    """One step of the worker."""

    NOTHING = "nothing"
    CREATE = "create"
    """Create the container and start it."""
    START = "start"
    STOP = "stop"
    """Send SIGTERM, and plan again at the deadline."""
    KILL = "kill"
    """Send SIGKILL."""
    REMOVE = "remove"
    CLEAR_SESSION = "clear-session"
    """Remove the volume, with the session in it."""
    PURGE = "purge"
    """Remove the volume and the bot's row."""
    RECORD_EXIT = "record-exit"
    """Store exit code and last log lines, and apply the restart policy."""


IRREVERSIBLE = frozenset({Action.CLEAR_SESSION, Action.PURGE})
"""Actions before which the row is confirmed once more."""


@dataclass(frozen=True, slots=True)
class Desired:
    """The desired state of a bot (from its row in `bots`)."""

    container_name: str
    spec_hash: str
    settings_hash: str
    """Of the part of the specification that follows from the installation's settings."""
    identity: tuple[tuple[str, str], ...]
    """Labels and values that make a container this bot's: owner, server and bot id. The name alone is ambiguous: bot
    `b-c` of server `a` and bot `c` of server `a-b` share one."""
    approved: bool
    rejected: bool
    running: bool
    deleting: bool
    restart_generation: int
    session_generation: int
    keep_container: bool = False
    """`spec_hash` is the present container's, which must not be replaced by another one now (see `rollout.py`)."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the controller remembers of the bot (stored in `bot_status.memory`)."""

    run_open: bool = False
    """A container was started, and its exit has not been recorded."""
    restart_generation: int = 0
    session_generation: int = 0
    history: RestartHistory = field(default_factory=RestartHistory)
    next_start_at: float | None = None
    crash_loop: bool = False
    halted: str | None = None
    """Reason code for which only an operator (or a new specification) may start the bot again."""
    halted_message: str = ""
    spec_hash: str = ""
    """The specification to which `history` and `halted` apply; it also changes with the installation's settings."""
    stop_deadline: float | None = None
    """When a pending SIGTERM is followed by a SIGKILL."""
    refusals: int = 0
    """How many times in a row the engine refused to start the bot."""
    replace: bool = False
    """The last run hung or never answered: create a new container instead of starting the same one again."""
    healthy_since: float | None = None
    """When the running container first answered."""
    last_failure: str = ""
    """Reason code of the last recorded exit."""
    last_failure_message: str = ""
    replacement: Replacement | None = None
    """The replacement of the container because of new settings, while it is in progress or has failed."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What probes have found out about the running container."""

    since: float
    """When this container was started or adopted."""
    seen: bool = False
    """Whether it has answered since then."""
    failures: int = 0
    """Consecutive probes without an answer."""
    failing: bool = False
    """Whether consecutive failures have reached the liveness threshold."""
    failure: str = ""
    connection: str | None = None
    """A `ConnectionState`, or an unknown one of a newer runtime."""
    connection_message: str = ""
    violation: str = ""
    """What the bot answered that is not within the limits of the contract, if that was not long ago."""
    previous: tuple[Phase, str, str] | None = None
    """Phase, reason and message to show for an adopted container until it answers."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits of the plan."""

    startup_timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Decision:
    """One step, and the bot's phase, reason and message from now on."""

    action: Action
    phase: Phase
    reason: str = ""
    message: str = ""
    requeue_after_seconds: float | None = None
    """When to plan again even if nothing happens; None: not before something does."""


_CONNECTION_PHASES: dict[str, tuple[Phase, str, str]] = {
    ConnectionState.CONNECTING: (Phase.STARTING, "connecting", "connecting to WhatsApp"),
    ConnectionState.PAIRING: (Phase.PAIRING, "waiting-for-scan", "scan the QR code or enter the pairing code"),
    ConnectionState.PAIRING_EXPIRED: (Phase.PAIRING, "pairing-expired", "the QR code expired; request a new one"),
    ConnectionState.ONLINE: (Phase.ONLINE, "", ""),
    ConnectionState.RECONNECTING: (Phase.DEGRADED, "reconnecting", "the connection to WhatsApp was lost"),
    ConnectionState.DEAF: (Phase.DEGRADED, "deaf", "connected, but WhatsApp does not respond"),
    ConnectionState.CONFLICT: (Phase.DEGRADED, "conflict", "another client uses this session; restart to take it back"),
    ConnectionState.LOGGED_OUT: (Phase.LOGGED_OUT, "logged-out", "unlinked from the phone; restart to pair again"),
    ConnectionState.BANNED: (Phase.BANNED, "banned", "WhatsApp has banned this account"),
    ConnectionState.OUTDATED: (
        Phase.OUTDATED,
        "outdated",
        "WhatsApp refuses this client version; update the bot image",
    ),
    ConnectionState.RECONNECT_FAILED: (Phase.DEGRADED, "reconnect-failed", "WhatsApp is unreachable"),
    ConnectionState.DISK_FULL: (
        Phase.DEGRADED,
        "disk-full",
        "disconnected because its volume is full; WhatsApp keeps new messages until there is room",
    ),
    ConnectionState.DISK_ERROR: (Phase.DEGRADED, "disk-error", "disconnected because the volume cannot be written"),
    ConnectionState.SPOOL_FULL: (
        Phase.DEGRADED,
        "spool-full",
        "disconnected because too many events wait for the controller; WhatsApp keeps new messages",
    ),
    ConnectionState.CLOSING: (Phase.STOPPING, "closing", "the bot is closing its connection"),
}


def plan(
    desired: Desired,
    remembered: Remembered,
    container: ObservedContainer | None,
    probe: ProbeResult | None,
    limits: Limits,
    *,
    now: float,
) -> Decision:
    """The next step for one bot. `probe` is None while no container runs; `now` is a Unix time."""
    if container is not None and not is_ours(desired, container):
        if desired.deleting:
            return Decision(Action.PURGE, Phase.STOPPING, "deleting")
        if not (desired.approved and desired.running):
            return _at_rest(desired)
        message = f"a container named {container.name} exists but does not belong to this bot; remove or rename it"
        return Decision(Action.NOTHING, Phase.BACKING_OFF, "name-taken", message)
    if desired.deleting:
        return _take_down(
            remembered,
            container,
            now,
            Decision(Action.PURGE, Phase.STOPPING, "deleting", "removing container and session"),
        )
    if not (desired.approved and desired.running):
        return _take_down(remembered, container, now, _at_rest(desired))
    if container is not None and (reason := _replace_reason(desired, remembered, container)):
        return _replace(desired, remembered, container, reason, now)
    if container is None or not container.up:
        return _bring_up(desired, remembered, container, now)
    assert probe is not None  # noqa: S101 - the worker sets one for every running container
    return _watch(remembered, probe, limits, now)


def is_ours(desired: Desired, container: ObservedContainer) -> bool:
    """Whether a container belongs to this bot, by its labels."""
    return all(container.labels.get(label) == value for label, value in desired.identity)


def _at_rest(desired: Desired) -> Decision:
    if desired.rejected:
        return Decision(Action.NOTHING, Phase.PENDING, "rejected", "approval was refused")
    if not desired.approved:
        return Decision(Action.NOTHING, Phase.PENDING, "not-approved", "waiting for approval")
    return Decision(Action.NOTHING, Phase.STOPPED)


def _take_down(
    remembered: Remembered, container: ObservedContainer | None, now: float, afterwards: Decision
) -> Decision:
    """Stop and remove the container, then do `afterwards`."""
    if container is None:
        return afterwards
    reason, message = afterwards.reason or "stop-requested", afterwards.message
    if container.up:
        return _stop(remembered, reason, message, now)
    return _remove(container, Phase.STOPPING, reason, message)


def _stop(remembered: Remembered, reason: str, message: str, now: float) -> Decision:
    if remembered.stop_deadline is None:
        return Decision(Action.STOP, Phase.STOPPING, reason, message)
    if now >= remembered.stop_deadline:
        return Decision(Action.KILL, Phase.STOPPING, reason, message)
    return Decision(
        Action.NOTHING, Phase.STOPPING, reason, message, requeue_after_seconds=remembered.stop_deadline - now
    )


def _remove(container: ObservedContainer, phase: Phase, reason: str, message: str) -> Decision:
    if container.state is ContainerState.REMOVING:
        return Decision(Action.NOTHING, phase, reason, message, requeue_after_seconds=REMOVING_POLL_SECONDS)
    return Decision(Action.REMOVE, phase, reason, message)


def _replace_reason(desired: Desired, remembered: Remembered, container: ObservedContainer) -> str:
    """Why this container cannot stay, or an empty string."""
    if desired.session_generation > remembered.session_generation:
        return "session-reset"
    if container.labels.get("botdock.spec-hash") != desired.spec_hash or container.name != desired.container_name:
        return "spec-changed"
    if container.state in {ContainerState.DEAD, ContainerState.REMOVING}:
        return "container-dead"
    if container.up and desired.restart_generation > remembered.restart_generation:
        return "restart-requested"
    return ""


def _replace(
    desired: Desired, remembered: Remembered, container: ObservedContainer, reason: str, now: float
) -> Decision:
    message = {
        "session-reset": "starting over with a new session",
        "spec-changed": "replacing the container because its specification changed",
        "container-dead": "replacing a dead container",
        "restart-requested": "restarting as requested",
    }[reason]
    if container.up:
        return _stop(remembered, reason, message, now)
    return _remove(container, Phase.STARTING, reason, message)


def _bring_up(desired: Desired, remembered: Remembered, container: ObservedContainer | None, now: float) -> Decision:
    """The container does not exist or does not run, and should."""
    if desired.session_generation > remembered.session_generation:
        return Decision(Action.CLEAR_SESSION, Phase.STARTING, "session-reset", "starting over with a new session")
    asked_for = desired.restart_generation > remembered.restart_generation
    if remembered.run_open and not asked_for:
        return Decision(Action.RECORD_EXIT, Phase.BACKING_OFF)
    if remembered.halted == VOLUME_LIMIT:
        return Decision(Action.NOTHING, Phase.SKIPPED, remembered.halted, remembered.halted_message)
    if not asked_for:
        if remembered.halted is not None:
            return Decision(Action.NOTHING, Phase.SKIPPED, remembered.halted, remembered.halted_message)
        if remembered.next_start_at is not None and now < remembered.next_start_at:
            phase = Phase.CRASH_LOOP if remembered.crash_loop else Phase.BACKING_OFF
            return Decision(
                Action.NOTHING,
                phase,
                remembered.last_failure,
                remembered.last_failure_message,
                requeue_after_seconds=remembered.next_start_at - now,
            )
    if container is not None and asked_for:
        # A new container, because the image tag may point to a newer image by now.
        return _remove(container, Phase.STARTING, "restart-requested", "restarting as requested")
    # A container whose network is gone can never be started again, so it is no use keeping it.
    lost = remembered.last_failure == NetworkMissingError.code
    if container is not None and remembered.replace and (lost or not desired.keep_container):
        return _remove(container, Phase.STARTING, remembered.last_failure, "replacing the container")
    action = Action.CREATE if container is None else Action.START
    return Decision(action, Phase.STARTING, "starting", "starting the container")


def _watch(remembered: Remembered, probe: ProbeResult, limits: Limits, now: float) -> Decision:
    """The container runs, and should."""
    if remembered.halted == VOLUME_LIMIT:
        return _stop(remembered, remembered.halted, remembered.halted_message, now)
    if remembered.stop_deadline is not None:
        # A stop was in progress when the bot was started again; the process has received SIGTERM and will exit.
        return _stop(remembered, "stop-requested", "", now)
    if probe.failing:
        return Decision(Action.KILL, Phase.DEGRADED, "liveness-failed", f"does not answer: {probe.failure}")
    if probe.violation:
        message = (
            "the bot breaks its protocol, and what it answers is ignored (if its runtime is newer than the controller, "
            f"update the controller): {probe.violation}"
        )
        return Decision(Action.NOTHING, Phase.DEGRADED, "protocol-violation", message)
    if not probe.seen:
        deadline = probe.since + limits.startup_timeout_seconds
        if now >= deadline:
            return Decision(
                Action.KILL,
                Phase.STARTING,
                "startup-timeout",
                f"did not become healthy within {limits.startup_timeout_seconds:g} s",
            )
        phase, reason, message = probe.previous or (Phase.STARTING, "starting", "waiting for the first answer")
        return Decision(Action.NOTHING, phase, reason, message, requeue_after_seconds=deadline - now)
    if probe.connection is None:
        return Decision(Action.NOTHING, Phase.DEGRADED, "unhealthy", probe.failure)
    phase, reason, message = _CONNECTION_PHASES.get(probe.connection) or _unknown(probe.connection)
    return Decision(Action.NOTHING, phase, reason, probe.connection_message or message)


def _unknown(connection: str) -> tuple[Phase, str, str]:
    """What a newer runtime reports is not a reason to replace it."""
    message = f"the bot runs and reports {connection!r}, which this controller does not know; update the controller"
    return Phase.DEGRADED, "unknown-state", message
