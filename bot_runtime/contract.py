"""The wire between a bot container and the orchestrator: the only module that both sides import.

Everything here is data: the environment a container is started with, the exit codes it ends with, and the JSON bodies
of its HTTP endpoint (port 8080, `Authorization: Bearer <token>` on every call but `GET /livez`). JSON is camelCase,
timestamps are RFC 3339 in UTC. msgspec does the encoding because it validates, and weighs about 1 MB in a process of
which there are hundreds.

    GET  /livez                                   204 while the event loop turns
    GET  /health                                  Health
    GET  /events?spool=&after=&limit=&wait=       EventPage
    GET  /qr                                      Qr                     409 when none is shown
    POST /pair-code          PairCodeRequest      PairCode               409 when the bot is not waiting for a phone
    PUT  /config             RuntimeConfig        RuntimeConfig
    POST /messages           SendRequest          SendResult             409 when the bot is not online
    POST /connection/reset                        Health                 a new connection, or a new QR when it expired
    POST /logout                                  Health                 409 when no session is present
    GET  /stats                                   Stats

Every error is an `Error` body: 400 malformed, 401 token, 404 unknown path, 409 wrong state, 413 too large, 502 WhatsApp
refused, 504 WhatsApp did not answer.
"""

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

PORT = 8080
AUTH_ROOT = "/auth"
"""Where the bot's volume is mounted. Files live in `/auth/{serverName}/bot_{botId}/`, directories are 0700."""

MAX_BODY_BYTES = 1 << 20
MAX_EVENTS_PER_PAGE = 500
MAX_WAIT_SECONDS = 60.0


class Env(StrEnum):
    """The environment variables of a bot container. The token is its only secret."""

    BOT_ID = "BOTDOCK_BOT_ID"
    SERVER_NAME = "BOTDOCK_SERVER_NAME"
    TOKEN = "BOTDOCK_TOKEN"
    CONFIG = "BOTDOCK_CONFIG"
    """A `RuntimeConfig` in JSON for the first start; a configuration kept on the volume with a higher or equal
    generation wins."""
    LOG_LEVEL = "BOTDOCK_LOG_LEVEL"
    """debug, info (the default), warning or error."""
    AUTH_ROOT = "BOTDOCK_AUTH_ROOT"
    """Where the volume is mounted when it is not `/auth` (a runtime outside a container)."""
    PORT = "BOTDOCK_PORT"
    """The port of the HTTP endpoint when it is not 8080; 0 takes a free one and logs it."""


class ExitCode(IntEnum):
    """What the exit of a runtime means. Anything else is a crash."""

    STOPPED = 0
    INVALID_CONFIG = 64
    INTERNAL_ERROR = 70
    SESSION_IN_USE = 73
    """Another process holds `session.lock` on this volume."""
    RECONNECT_FAILED = 75
    """WhatsApp could not be reached in `max_reconnect_attempts` tries."""
    SESSION_UNREADABLE = 78
    """The session file is corrupt or of an unknown version."""


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


class EventType(StrEnum):
    """The names under which things that happen to a bot are recorded."""

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
    # Written by the orchestrator, never by a runtime:
    PHASE_CHANGE = "phase-change"
    CONTAINER_START = "container-start"
    CONTAINER_EXIT = "container-exit"
    CONTAINER_OOM = "container-oom"


class Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of all bodies: immutable, camelCase on the wire, unknown fields ignored (either side may be newer)."""


class Error(Wire, frozen=True):
    """An error body: a stable `code` for programs and a sentence for people."""

    code: str
    message: str


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


class Event(Wire, frozen=True):
    """One numbered entry of a bot's history."""

    seq: int
    type: EventType
    data: dict[str, Any]
    timestamp: datetime


class EventPage(Wire, frozen=True):
    """`GET /events`: events after the cursor, oldest first.

    Asking with `after=N` and the spool's own id acknowledges all events up to N, which may then be forgotten. Another
    spool id acknowledges nothing and starts at the oldest event kept. `wait` seconds hold the answer back until there
    is at least one event.
    """

    spool_id: str
    items: list[Event]
    next: int
    """The `after` of the next call: the last `seq` in `items`, or the `after` that was asked with."""


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


class RuntimeConfig(Wire, frozen=True):
    """What may be changed while a bot runs. Kept on the volume, so that a restart needs nobody."""

    generation: int = 0
    """Grows with every change; a lower one than the present is refused with 409."""
    name: str = ""
    """The bot's name, for its answers and logs."""
    prefix: Annotated[str, Meta(min_length=1, max_length=5)] = "."
    """What a command starts with, 1 to 5 characters."""
    heartbeat_interval_seconds: Annotated[float, Meta(gt=0)] = 30.0
    reconnect_base_delay_seconds: Annotated[float, Meta(gt=0)] = 5.0
    max_reconnect_attempts: Annotated[int, Meta(ge=1)] = 10
    connection_reset_interval_seconds: Annotated[float, Meta(ge=0)] = 3600.0
    """How often the connection is renewed; 0 switches it off."""


class SendRequest(Wire, frozen=True):
    """`POST /messages`: one text to one chat."""

    client_id: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]
    """Chosen by the caller; the same id is never sent twice. 1 to 64 of `A-Za-z0-9_-`."""
    to: str
    """A phone number in international form, or a chat id (`…@s.whatsapp.net`, `…@lid`, `…@g.us`)."""
    text: Annotated[str, Meta(min_length=1, max_length=65536)]


class SendResult(Wire, frozen=True):
    """The message as WhatsApp accepted it."""

    message_id: str
    timestamp: datetime
    repeated: bool
    """True when `client_id` had been sent before and nothing was sent now."""


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
