"""What the controller holds of one bot in memory, and how that becomes its row in `bot_status`."""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from bot_runtime.contract import EventType, Health
from orchestrator.db.models import Bot, BotStatus
from orchestrator.engine.base import EngineEvent, EngineEventKind, ObservedContainer
from orchestrator.reconcile.plan import Decision, ProbeResult, Remembered
from orchestrator.states import Phase

log = logging.getLogger(__name__)


@dataclass(slots=True)
class PendingEvent:
    """An event of the controller's own, written together with the status that it belongs to."""

    type: EventType
    data: dict[str, Any]
    timestamp: datetime


@dataclass(slots=True)
class BotState:
    """One bot, as the controller knows it. Changed only by the bot's own worker, sweep and probe callbacks."""

    bot_id: str
    bot: Bot | None = None
    """None once the row is gone."""
    bot_dirty: bool = False
    """A notification said that the row changed: read it before deciding."""
    just_loaded: bool = False
    """No round has been done since the status was read: whatever happened before it, nobody was there to see."""
    known: Remembered = field(default_factory=Remembered)
    observed_generation: int = 0
    container: ObservedContainer | None = None
    observed_dirty: bool = True
    """The engine hinted at a change: look before deciding."""
    own_start: str | None = None
    """The container that is being started here, until the engine has told of it."""
    configured: int = 0
    """The newest configuration that its watch was told to look after."""
    probed: ProbeResult | None = None
    health: Health | None = None
    """The runtime's last answer, from the container that runs now."""
    kill_reason: tuple[str, str] | None = None
    """Reason code and sentence of a SIGKILL that we sent, for the exit that follows."""
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
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever writes the status row, so that an older value never overtakes a newer one."""
    written: dict[str, Any] = field(default_factory=dict)
    """The columns as last written, so that only changes are."""

    @property
    def loaded(self) -> bool:
        """Whether the status in Postgres has been read; a bot announced by a notification starts without."""
        return bool(self.written)

    def is_own_start(self, event: EngineEvent) -> bool:
        """Whether a hint of the engine says no more than that it did what it was told here."""
        own = event.kind is EngineEventKind.START and event.container_id == self.own_start
        self.own_start = None
        return own

    def load(self, bot: Bot, status: BotStatus) -> None:
        """Take over the rows in Postgres: all of them the first time, from then on only what is wanted."""
        if self.bot is not None and self.bot.created_at != bot.created_at:
            # Deleted and made again in one transaction: another bot, with another past.
            self.written = {}
        self.bot = bot
        if self.loaded:
            return
        self.just_loaded = True
        self.known = _remembered(bot, status)
        self.observed_generation = status.observed_generation
        if status.phase in set(Phase):
            self.phase, self.reason, self.message = Phase(status.phase), status.reason, status.message
        self.restarts = status.restarts
        self.last_exit = status.last_exit
        self.connected_at = status.connected_at
        self.started_at = status.started_at
        self.paired_number = status.paired_number
        self.spool_id, self.spool_seq = status.spool_id, status.spool_seq
        self.written = {name: getattr(status, name) for name in BotStatus.model_fields if name not in _NOT_OURS}

    def settle(self, decision: Decision, *, now: float) -> None:
        """Take over what a decision says of the bot; a change of phase or reason becomes an event."""
        before = (self.phase, self.reason)
        self.phase, self.reason, self.message = decision.phase, decision.reason, decision.message
        if before == (self.phase, self.reason):
            return
        if self.phase is Phase.ONLINE:
            self.connected_at = moment(now)
        data = {"from": before[0], "to": self.phase, "reason": self.reason, "message": self.message}
        self.add_event(EventType.PHASE_CHANGE, data, now=now)

    def add_event(self, kind: EventType, data: dict[str, Any], *, now: float) -> None:
        """Remember an event of the controller's own until the next write."""
        self.events.append(PendingEvent(kind, data, moment(now)))

    def columns(self) -> dict[str, Any]:
        """The status row, less key and fence."""
        health = self.health
        container = self.container
        ours = container is not None and self.reason != "name-taken"
        columns: dict[str, Any] = {
            "phase": str(self.phase),
            "reason": self.reason,
            "message": self.message,
            "container_id": container.id if container is not None and ours else None,
            "container_name": container.name if container is not None and ours else None,
            "container_state": str(container.state) if container is not None and ours else None,
            "address": container.address if container is not None and ours else None,
            "healthy": health is not None and self.probed is not None and not self.probed.failure,
            "connection": None if health is None else str(health.connection),
            "restarts": self.restarts,
            "last_exit": self.last_exit,
            "memory": msgspec.to_builtins(self.known),
            "observed_generation": self.observed_generation,
            "paired_number": self.paired_number,
            "connection_attempts": 0 if health is None else health.connection_attempts,
            "event_history_size": 0 if health is None else health.event_history_size,
            "started_at": self.started_at,
            "connected_at": self.connected_at if self.phase is Phase.ONLINE else None,
            "next_start_at": None if self.known.next_start_at is None else moment(self.known.next_start_at),
        }
        if health is not None:
            columns["last_heartbeat"] = health.last_heartbeat
            columns["last_activity"] = health.last_activity
            columns["creds_updated_at"] = health.creds_updated_at
        return columns

    def changes(self) -> dict[str, Any]:
        """The columns that differ from what was last written."""
        return {key: value for key, value in self.columns().items() if self.written.get(key, _UNSET) != value}


def _remembered(bot: Bot, status: BotStatus) -> Remembered:
    if not status.memory:
        return Remembered()
    try:
        return msgspec.convert(status.memory, Remembered)
    except msgspec.ValidationError as exc:
        # Written by another version. Nothing may be taken for outstanding then: that would cost the bot its session.
        log.warning("bot %s: what was remembered is lost: %s", bot.id, exc)
        return Remembered(restart_generation=bot.restart_generation, session_generation=bot.session_generation)


_UNSET = object()
_NOT_OURS = {
    *("bot_id", "server_name", "epoch", "spool_id", "spool_seq", "updated_at"),
    *("messages_received", "messages_sent", "errors", "reconnections"),
}
"""Columns that are written elsewhere (`status_store.py`)."""


def moment(unix: float) -> datetime:
    """A Unix time as Postgres keeps it."""
    return datetime.fromtimestamp(unix, UTC)
