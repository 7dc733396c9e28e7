"""The state of a bot and its connection, pairing and counters."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from bot_runtime.contract.limits import Code, Count, Digits, Identifier, Number
from bot_runtime.contract.wire import Wire


class ConnectionState(StrEnum):
    """The states of a WhatsApp connection (the transitions are in `bot_runtime/whatsapp/state.py`)."""

    CONNECTING = "connecting"
    PAIRING = "pairing"
    """Waiting for a phone, with a QR code and on request a pairing code."""
    PAIRING_EXPIRED = "pairing-expired"
    """The QR code was not scanned in time. `POST /connection/reset` shows a new one."""
    ONLINE = "online"
    RECONNECTING = "reconnecting"
    DEAF = "deaf"
    """The socket is open but WhatsApp does not answer keep-alives."""
    CONFLICT = "conflict"
    """Another client is using this session. Not retried automatically."""
    LOGGED_OUT = "logged-out"
    BANNED = "banned"
    OUTDATED = "outdated"
    """WhatsApp refuses this version of the client library."""
    RECONNECT_FAILED = "reconnect-failed"
    DISK_FULL = "disk-full"
    """The volume is full: the bot is disconnected until there is room. WhatsApp keeps what arrives, here and below."""
    DISK_ERROR = "disk-error"
    """The volume cannot be written for another reason."""
    SPOOL_FULL = "spool-full"
    """Too many events wait for the orchestrator: the bot is disconnected until it has fetched them."""
    CLOSING = "closing"


class Fault(Wire, frozen=True):
    """The last fault of the connection."""

    code: Code
    message: str
    at: datetime


class EventCursor(Wire, frozen=True):
    """The position of a bot's spool of events.

    A spool numbers its events from 1 as long as the volume exists; a new volume has a new `spool_id`. The numbers of
    dropped events are missing.
    """

    spool_id: Identifier
    last_seq: Number
    acked_seq: Number
    dropped: Number = 0
    """Events that were dropped because too many were unfetched. Never messages or receipts, see `storage/spool.py`."""


class Versions(Wire, frozen=True):
    """Versions of the software in the container."""

    runtime: str
    neonize: str
    python: str


class Health(Wire, frozen=True):
    """`GET /health`: everything that probes and `GET /api/bots/containers/health` need."""

    bot_id: str
    server_name: str
    boot_id: Identifier
    """Changes with every start of the process, also with a restart in place: then it has lost its secrets."""
    started_at: datetime
    """When the container's process was started; a restart in place does not change it."""
    connection: Code
    """A `ConnectionState`, or one that a newer runtime has added."""
    since: datetime
    """When `connection` was entered."""
    phone_number: Digits | None
    """Digits only, once paired."""
    push_name: str | None
    last_heartbeat: datetime | None
    """When the runtime last checked its connection."""
    last_activity: datetime | None
    """When anything was last received from WhatsApp."""
    connection_attempts: Count
    """Consecutive failed attempts; 0 while online."""
    last_error: Fault | None
    events: EventCursor
    event_history_size: Count
    """Events held in memory, at most 100."""
    creds_updated_at: datetime | None
    config_generation: Number
    memory_bytes: Number
    """Resident anonymous memory of the process."""
    versions: Versions
    next_attempt_at: datetime | None = None
    """When the next attempt to connect begins, while the bot waits for it."""


class Qr(Wire, frozen=True):
    """A QR code to scan with the phone."""

    code: Annotated[str, Meta(pattern=r"^[!-~]{1,1000}\Z")]
    """The text to render as a QR code."""
    expires_at: datetime


class PairCodeRequest(Wire, frozen=True):
    """Requests a code to type into the phone instead of scanning."""

    phone_number: str
    """International form, digits only."""


class PairCode(Wire, frozen=True):
    """The code to type into the phone (Linked devices, Link with phone number)."""

    code: Annotated[str, Meta(pattern=r"^[A-Z0-9-]{1,16}\Z")]
    """Eight characters in WhatsApp's format: `ABCD-1234`."""
    expires_at: datetime


class Stats(Wire, frozen=True):
    """`GET /stats`: counters since the process started."""

    bot_id: str
    messages_received: int
    messages_sent: int
    send_failures: int
    reconnects: int
    messages_cached: int
    """Ids stored to detect duplicates."""
    locks_held: int
    """Commands that are running."""
    commands_run: int = 0
    statuses_viewed: int = 0
    rate_window: dict[str, int] = {}
    """Messages sent to each recipient within the window of the rate limit, for recipients with at least one."""
