"""The protocol between a bot container and the orchestrator: the only package that both sides import.

Everything here is pure data: the environment that a container is started with, its exit codes, and the JSON bodies of
its HTTP endpoint (port 8080, `Authorization: Bearer <token>` on every call except `GET /livez`). JSON is camelCase,
timestamps are RFC 3339 in UTC. msgspec encodes and validates; it takes about 1 MB in each of hundreds of processes.

    GET  /livez                                   204 while the event loop runs
    GET  /health                                  Health
    GET  /events?spool=&after=&limit=&wait=       EventPage
    GET  /qr                                      Qr                     409 when there is none
    POST /pair-code          PairCodeRequest      PairCode               409 when the bot is not waiting for a phone
    PUT  /config             RuntimeConfig        RuntimeConfig
    PUT  /secrets            Secrets              204                    held in memory only
    POST /messages           SendRequest          SendResult             409 when the bot is not online, 429 limited
    PUT  /uploads/{clientId} raw bytes            204                    the file of a media message, before sending it
    GET  /media/{messageId}                       raw bytes              404 unknown, 410 deleted by WhatsApp
    GET  /groups/{id}                             Group                  404 when the account is not a member
    POST /connection/reset                        Health                 a new connection, or a new QR code
    POST /logout                                  Health                 409 when there is no session
    GET  /stats                                   Stats

Every error has an `Error` body: 400 malformed, 401 token, 404 unknown path, 408 the request did not arrive in time, 409
wrong state, 413 too large, 429 too many messages (with `retryAfterMs`, and `Retry-After` in seconds), 502 WhatsApp
refused, 504 WhatsApp did not answer in time, 507 the volume of the bot is full.
"""

from bot_runtime.contract.config import (
    ChannelReaction,
    ChatGpt,
    CustomCommand,
    LogLevel,
    RuntimeConfig,
    Secrets,
    TakenOver,
    WebAccess,
    WebhookCall,
)
from bot_runtime.contract.events import ORCHESTRATOR_EVENTS, Event, EventPage, EventType
from bot_runtime.contract.groups import Group, GroupInfo, GroupMember, GroupUpdate, MemberRange
from bot_runtime.contract.health import (
    ConnectionState,
    EventCursor,
    Fault,
    Health,
    PairCode,
    PairCodeRequest,
    Qr,
    Stats,
    Versions,
)
from bot_runtime.contract.limits import (
    EARLIEST,
    LATEST,
    MAX_ANSWER_BYTES,
    MAX_DESCRIPTION_CHARACTERS,
    MAX_EVENT_BYTES,
    MAX_EVENTS_PER_PAGE,
    MAX_INT64,
    MAX_PAGE_BYTES,
    MAX_TEXT_CHARACTERS,
    PAGE_BYTES,
    Code,
    Identifier,
    MessageId,
    Number,
    flaw_of,
    shortened,
)
from bot_runtime.contract.messages import (
    FILES,
    Audio,
    Contact,
    Content,
    Document,
    Image,
    Location,
    Media,
    Poll,
    Quote,
    Reaction,
    SendRequest,
    SendResult,
    Sticker,
    Text,
    Video,
)
from bot_runtime.contract.process import (
    AUTH_ROOT,
    BOT_ID_PATTERN,
    MAX_BODY_BYTES,
    MAX_MEDIA_BYTES,
    MAX_WAIT_SECONDS,
    PORT,
    SERVER_NAME_PATTERN,
    Env,
    ExitCode,
)
from bot_runtime.contract.version import VERSION
from bot_runtime.contract.wire import Error, Wire

__all__ = [
    "AUTH_ROOT",
    "BOT_ID_PATTERN",
    "EARLIEST",
    "FILES",
    "LATEST",
    "MAX_ANSWER_BYTES",
    "MAX_BODY_BYTES",
    "MAX_DESCRIPTION_CHARACTERS",
    "MAX_EVENTS_PER_PAGE",
    "MAX_EVENT_BYTES",
    "MAX_INT64",
    "MAX_MEDIA_BYTES",
    "MAX_PAGE_BYTES",
    "MAX_TEXT_CHARACTERS",
    "MAX_WAIT_SECONDS",
    "ORCHESTRATOR_EVENTS",
    "PAGE_BYTES",
    "PORT",
    "SERVER_NAME_PATTERN",
    "VERSION",
    "Audio",
    "ChannelReaction",
    "ChatGpt",
    "Code",
    "ConnectionState",
    "Contact",
    "Content",
    "CustomCommand",
    "Document",
    "Env",
    "Error",
    "Event",
    "EventCursor",
    "EventPage",
    "EventType",
    "ExitCode",
    "Fault",
    "Group",
    "GroupInfo",
    "GroupMember",
    "GroupUpdate",
    "Health",
    "Identifier",
    "Image",
    "Location",
    "LogLevel",
    "Media",
    "MemberRange",
    "MessageId",
    "Number",
    "PairCode",
    "PairCodeRequest",
    "Poll",
    "Qr",
    "Quote",
    "Reaction",
    "RuntimeConfig",
    "Secrets",
    "SendRequest",
    "SendResult",
    "Stats",
    "Sticker",
    "TakenOver",
    "Text",
    "Versions",
    "Video",
    "WebAccess",
    "WebhookCall",
    "Wire",
    "flaw_of",
    "shortened",
]
