"""The state of a bot and its connection, pairing and counters."""

from datetime import datetime
from enum import StrEnum

from bot_runtime.contract.wire import Wire


class ConnectionState(StrEnum):
    """The state machine of one WhatsApp connection (`bot_runtime/whatsapp/state.py` holds the transitions)."""

    CONNECTING = "connecting"
    PAIRING = "pairing"
    """A QR code, and on request a pairing code, waits for a phone."""
    PAIRING_EXPIRED = "pairing-expired"
    """Nobody scanned in time. `POST /connection/reset` shows a new QR."""
    ONLINE = "online"
    RECONNECTING = "reconnecting"
    DEAF = "deaf"
    """The socket is open but WhatsApp does not answer keep-alives."""
    CONFLICT = "conflict"
    """Another client took this session over. Not retried by itself."""
    LOGGED_OUT = "logged-out"
    BANNED = "banned"
    OUTDATED = "outdated"
    """WhatsApp refuses this version of the client library."""
    RECONNECT_FAILED = "reconnect-failed"
    CLOSING = "closing"


class Fault(Wire, frozen=True):
    """The last thing that went wrong with the connection."""

    code: str
    message: str
    at: datetime


class EventCursor(Wire, frozen=True):
    """How far a bot's spool of events has come.

    A spool numbers its events from 1 without gaps for as long as the volume lives; a new volume has a new `spool_id`.
    """

    spool_id: str
    last_seq: int
    acked_seq: int
    dropped: int = 0
    """Events that were given up because the spool was full (nobody fetched them for very long)."""


class Versions(Wire, frozen=True):
    """Versions of what runs in the container."""

    runtime: str
    neonize: str
    python: str


class Health(Wire, frozen=True):
    """`GET /health`: all that the orchestrator needs for probes and for `GET /api/bots/containers/health`."""

    bot_id: str
    server_name: str
    boot_id: str
    """Changes with every start of the process."""
    started_at: datetime
    connection: ConnectionState
    since: datetime
    """When `connection` was entered."""
    phone_number: str | None
    """Digits only, once paired."""
    push_name: str | None
    last_heartbeat: datetime | None
    """When the runtime last looked after its connection."""
    last_activity: datetime | None
    """When anything last arrived from WhatsApp."""
    connection_attempts: int
    """Consecutive failed attempts; 0 while online."""
    last_error: Fault | None
    events: EventCursor
    event_history_size: int
    """Events kept in memory, at most 100."""
    creds_updated_at: datetime | None
    config_generation: int
    memory_bytes: int
    """Resident anonymous memory of the process."""
    versions: Versions


class Qr(Wire, frozen=True):
    """The code a phone has to scan."""

    code: str
    """Raw text to be drawn as a QR code."""
    expires_at: datetime


class PairCodeRequest(Wire, frozen=True):
    """Ask for a code that is typed into the phone instead of scanning."""

    phone_number: str
    """International form, digits only."""


class PairCode(Wire, frozen=True):
    """The code to type into the phone (Linked devices, Link with phone number)."""

    code: str
    """Eight characters, as WhatsApp shows them: `ABCD-1234`."""
    expires_at: datetime


class Stats(Wire, frozen=True):
    """`GET /stats`: counters since the process started."""

    bot_id: str
    messages_received: int
    messages_sent: int
    send_failures: int
    reconnects: int
    messages_cached: int
    """Ids held against duplicates."""
    locks_held: int
    """Commands running now."""
    commands_run: int = 0
    statuses_viewed: int = 0
    rate_window: dict[str, int] = {}
    """Messages sent to each recipient within the rate limit's window, recipients without any left out."""
