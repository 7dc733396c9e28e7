"""The numbered events of a bot."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from bot_runtime.contract.limits import Code, Identifier, Number
from bot_runtime.contract.wire import Wire


class EventType(StrEnum):
    """The types of events."""

    CONNECTION_UPDATE = "connection-update"
    MESSAGE_UPSERT = "message-upsert"
    CREDS_UPDATE = "creds-update"
    PRESENCE_UPDATE = "presence-update"
    ERROR = "error"
    QR = "qr"
    CONNECTED = "connected"
    LOGOUT = "logout"
    MESSAGE_ACK = "message-ack"
    GROUP_UPDATE = "group-update"
    CALL = "call"
    RECONNECT_FAILED = "reconnect-failed"
    HEALTH_CHECK_FAILED = "health-check-failed"
    SETTINGS_UPDATE = "settings-update"
    """The owner of the bot changed a setting by command: `{settings: {name: value}}`, to be stored in Postgres."""
    EVENTS_DROPPED = "events-dropped"
    """Events were dropped (`EventCursor.dropped`): `{count, total}`, since the last report and since the beginning."""
    # Written by the orchestrator, never by a runtime:
    PHASE_CHANGE = "phase-change"
    CONTAINER_START = "container-start"
    CONTAINER_EXIT = "container-exit"
    CONTAINER_OOM = "container-oom"
    VOLUME_LIMIT = "volume-limit"
    """The volume of the bot holds more than it may, so it is stopped: `{bytes, maxBytes}`."""
    PROTOCOL_VIOLATION = "protocol-violation"
    """Replaces an event of a bot that is not within the limits: `{type, message}`."""


ORCHESTRATOR_EVENTS = frozenset(
    {
        EventType.PHASE_CHANGE,
        EventType.CONTAINER_START,
        EventType.CONTAINER_EXIT,
        EventType.CONTAINER_OOM,
        EventType.VOLUME_LIMIT,
        EventType.PROTOCOL_VIOLATION,
    }
)
"""Types that no bot may send."""


class Event(Wire, frozen=True):
    """One numbered event."""

    seq: Number
    type: Code
    """An `EventType`, or one that a newer runtime has added."""
    data: dict[str, Any]
    timestamp: datetime


class EventPage(Wire, frozen=True):
    """`GET /events`: events after the cursor, oldest first; fewer than requested if they exceed PAGE_BYTES.

    A request with `after=N` and the id of the spool acknowledges all events up to N, which are then deleted. Another
    spool id acknowledges nothing and starts at the oldest event. With `wait` the response is delayed up to that many
    seconds until there is at least one event.
    """

    spool_id: Identifier
    items: list[Event]
    next: Number
    """The `after` of the next request: the last `seq` in `items`; without items, the last number that there was."""
