"""What the controller holds of one bot in memory, and how it becomes the bot's row in `bot_status`."""

import asyncio
import itertools
import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from bot_runtime.contract import EventType, Health
from orchestrator.db.models import Bot, BotStatus
from orchestrator.engine.base import EngineEvent, EngineEventKind, ObservedContainer
from orchestrator.reconcile.pace import Pace
from orchestrator.reconcile.plan import Decision, ProbeResult, Remembered
from orchestrator.states import Phase

log = logging.getLogger(__name__)


_event_numbers = itertools.count(1)


@dataclass(slots=True)
class PendingEvent:
    """An event of the controller's own, written together with the status it belongs to."""

    type: EventType
    data: dict[str, Any]
    timestamp: datetime
    seq: int = field(default_factory=lambda: next(_event_numbers))
    """Unique in this process, so that a repeated write does not store the event again."""


@dataclass(slots=True)
class BotState:
    """One bot that exists, as the controller knows it. Only its own worker, the sweep and probe callbacks change it."""

    bot: Bot
    """The row as last read."""
    just_loaded: bool = True
    """No round has finished since the status was read: no controller watched what happened before."""
    remembered: Remembered = field(default_factory=Remembered)
    observed_generation: int = 0
    container: ObservedContainer | None = None
    observed_dirty: bool = True
    """The engine hinted at a change: inspect the container before deciding."""
    own_start: str | None = None
    """The container that is being started here, until the engine reports it."""
    configured: int = 0
    """The newest configuration that its watch was asked to check."""
    probe: ProbeResult | None = None
    """None while no container of the bot runs."""
    answered_at: float = 0.0
    """When a probe was last answered in any way (Unix time); 0 before the first."""
    unanswered_since: float | None = None
    """When the first of the probes failed that were not answered since; None while the last one was."""
    violated_at: float | None = None
    """When the bot last answered what is not within the limits (Unix time); None while nothing is held against it."""
    pace: Pace = field(default_factory=Pace)
    """How often it is asked for events; across its containers, because a bot decides when one ends."""
    health: Health | None = None
    """The last answer of the runtime in the running container."""
    volume_bytes: int | None = None
    """What its volume held when it was last measured; None before the first time."""
    kill_reason: tuple[str, str] | None = None
    """Reason code and sentence of a SIGKILL that the controller sent, for the exit that follows."""
    phase: Phase = Phase.PENDING
    reason: str = ""
    message: str = ""
    restarts: int = 0
    last_exit: dict[str, Any] | None = None
    connected_at: datetime | None = None
    started_at: datetime | None = None
    spool_id: str | None = None
    spool_seq: int = 0
    events: list[PendingEvent] = field(default_factory=list)
    paired_number: str | None = None
    writing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    """Held while the status row is written, so that an older value never overwrites a newer one. A semaphore, because
    its `locked` also counts the tasks that wait for it."""
    written: dict[str, Any] = field(default_factory=dict)
    """The columns as last written, so that only changes are."""

    @classmethod
    def from_rows(cls, bot: Bot, status: BotStatus) -> "BotState":
        """The state that a controller starts with: what Postgres holds, and nothing observed yet."""
        state = cls(
            bot,
            remembered=_remembered(bot, status),
            observed_generation=status.observed_generation,
            restarts=status.restarts,
            last_exit=status.last_exit,
            connected_at=status.connected_at,
            started_at=status.started_at,
            paired_number=status.paired_number,
            spool_id=status.spool_id,
            spool_seq=status.spool_seq,
            written={name: getattr(status, name) for name in BotStatus.model_fields if name not in _NOT_OURS},
        )
        if status.phase in set(Phase):
            state.phase, state.reason, state.message = Phase(status.phase), status.reason, status.message
        return state

    @property
    def bot_id(self) -> str:
        """The bot's id."""
        return self.bot.id

    def is_own_start(self, event: EngineEvent) -> bool:
        """Whether an engine event only reports a start that this controller requested."""
        own = event.kind is EngineEventKind.START and event.container_id == self.own_start
        self.own_start = None
        return own

    def settle(self, decision: Decision, *, now: float) -> None:
        """Take phase, reason and message from a decision; a change of phase or reason becomes an event."""
        before = (self.phase, self.reason)
        self.phase, self.reason, self.message = decision.phase, decision.reason, decision.message
        if before == (self.phase, self.reason):
            return
        if self.phase is Phase.ONLINE:
            self.connected_at = from_unix(now)
        data = {"from": before[0], "to": self.phase, "reason": self.reason, "message": self.message}
        self.add_event(EventType.PHASE_CHANGE, data, now=now)

    def bound_waits(self, *, now: float, start_seconds: float, stop_seconds: float) -> None:
        """Shorten what lasts longer than it may, because it began before the clock was set back."""
        start, stop = self.remembered.next_start_at, self.remembered.stop_deadline
        if start is not None and start > now + start_seconds:
            self.remembered = replace(self.remembered, next_start_at=now + start_seconds)
        if stop is not None and stop > now + stop_seconds:
            self.remembered = replace(self.remembered, stop_deadline=now + stop_seconds)
        if self.probe is not None and self.probe.since > now:
            self.probe = replace(self.probe, since=now)

    def add_event(self, kind: EventType, data: dict[str, Any], *, now: float) -> None:
        """Queue an event of the controller's own for the next write."""
        self.events.append(PendingEvent(kind, data, from_unix(now)))

    def columns(self) -> dict[str, Any]:
        """The status row without its key and its epoch."""
        health = self.health
        container = self.container
        ours = container is not None and self.reason != "name-taken"
        next_start_at = self.remembered.next_start_at
        columns: dict[str, Any] = {
            "phase": str(self.phase),
            "reason": self.reason,
            "message": self.message,
            "container_id": container.id if container is not None and ours else None,
            "container_name": container.name if container is not None and ours else None,
            "container_state": str(container.state) if container is not None and ours else None,
            "address": container.address if container is not None and ours else None,
            "healthy": health is not None and self.probe is not None and not self.probe.failure,
            "connection": None if health is None else str(health.connection),
            "restarts": self.restarts,
            "last_exit": self.last_exit,
            "memory": msgspec.to_builtins(self.remembered),
            "observed_generation": self.observed_generation,
            "paired_number": self.paired_number,
            "connection_attempts": 0 if health is None else health.connection_attempts,
            "event_history_size": 0 if health is None else health.event_history_size,
            "started_at": self.started_at,
            "connected_at": self.connected_at if self.phase is Phase.ONLINE else None,
            "next_start_at": None if next_start_at is None else from_unix(next_start_at),
        }
        if health is not None:
            columns["last_heartbeat"] = health.last_heartbeat
            columns["last_activity"] = health.last_activity
            columns["creds_updated_at"] = health.creds_updated_at
        return columns

    def changes(self) -> dict[str, Any]:
        """The columns that differ from what was last written."""
        return {key: value for key, value in self.columns().items() if self.written.get(key, _UNSET) != value}


@dataclass(frozen=True, slots=True)
class BotStates:
    """The bots of a server that the controller knows, shared by the reconciler, its sweep, workers and probes."""

    by_id: dict[str, BotState] = field(default_factory=dict)
    stale: set[str] = field(default_factory=set)
    """Ids whose row was written, perhaps for the first or last time: the next round reads it before it decides."""

    def reload(self, bot: Bot, status: BotStatus) -> BotState:
        """The bot's state with its row as just read. The status is read only once: later, memory is newer."""
        state = self.by_id.get(bot.id)
        if state is None or state.bot.created_at != bot.created_at:
            # Also when it was deleted and created again in one transaction: another bot, with another past.
            state = self.by_id[bot.id] = BotState.from_rows(bot, status)
        else:
            state.bot = bot
        return state


def _remembered(bot: Bot, status: BotStatus) -> Remembered:
    if status.memory:
        try:
            return msgspec.convert(status.memory, Remembered)
        except msgspec.ValidationError as exc:
            log.warning("bot %s: discarding the stored reconcile state: %s", bot.id, exc)
    # Never written, lost, or written by another version: nothing may count as outstanding, at the cost of a session.
    return Remembered(restart_generation=bot.restart_generation, session_generation=bot.session_generation)


_UNSET = object()
_NOT_OURS = {
    *("bot_key", "server_name", "epoch", "spool_id", "spool_seq", "updated_at"),
    *("messages_received", "messages_sent", "errors", "reconnections"),
}
"""Columns that are written elsewhere (`status_store.py`)."""


def from_unix(seconds: float) -> datetime:
    """A Unix time as Postgres stores it."""
    return datetime.fromtimestamp(seconds, UTC)
