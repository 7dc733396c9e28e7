"""What arrives from WhatsApp, as plain data. `decode.py` and `encode.py` translate it from and to protobuf. Pure."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from bot_runtime.whatsapp import event_codes
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.state import Signal


@dataclass(frozen=True, slots=True)
class ConnectionReport:
    """A signal for the state machine of the connection; with a code and a message when it is a fault."""

    signal: Signal
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """The account of a session; `number` is digits only, `lid` its hidden id."""

    number: str
    push_name: str | None
    lid: str | None = None


class Kind(StrEnum):
    """The kind of a message."""

    TEXT = "text"
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    DOCUMENT = "document"
    STICKER = "sticker"
    LOCATION = "location"
    CONTACT = "contact"
    REACTION = "reaction"
    POLL = "poll"
    POLL_VOTE = "poll-vote"
    REVOKE = "revoke"
    EDIT = "edit"
    STATUS = "status"
    CHANNEL_POST = "channel-post"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The content of a message."""

    kind: Kind
    text: str = ""
    """The text, or the caption of a file; at most 64 KiB in UTF-8."""
    details: dict[str, Any] = field(default_factory=dict)
    """Further fields of the event, by their names: media, quoted, reaction, poll, location, contact, viewOnce …"""
    mentions: tuple[str, ...] = ()
    """The ids of mentioned accounts."""
    target: str = ""
    """The id of the revoked or edited message."""
    view_once: bool = False
    sealed: bytes = b""
    """The library's event of a vote, needed to decrypt it."""
    file: bytes = b""
    """The serialised Message when it has a file, needed to fetch or forward it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One received message."""

    id: str
    chat: Address
    sender: Address
    sender_number: str | None
    from_me: bool
    device: int | None = None
    """The sender's device: 0 is the phone, others are linked to it. None when it is not known."""
    is_group: bool
    timestamp: datetime
    push_name: str
    content: Content
    server_id: int = 0
    """The number of a post within its channel."""

    @property
    def kind(self) -> Kind:
        return self.content.kind

    @property
    def text(self) -> str:
        return self.content.text


@dataclass(frozen=True, slots=True)
class ReceiptUpdate:
    """Messages of this account were delivered, read or played by `by`."""

    message_ids: tuple[str, ...]
    chat: Address
    by: Address
    state: str


@dataclass(frozen=True, slots=True)
class Presence:
    """A contact is available, unavailable, composing, recording or paused; `chat` is where they write."""

    who: Address
    presence: str
    chat: Address | None = None
    last_seen: datetime | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A call: `status` is offer, accept or terminate. Bots do not answer calls."""

    id: str
    caller: Address
    status: str


@dataclass(frozen=True, slots=True)
class GroupChange:
    """A group has changed; `left` are members that are no longer in it."""

    group: Address
    left: tuple[Address, ...] = ()
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class BacklogUpdate:
    """WhatsApp begins to deliver what it stored while the bot was offline, or has `delivered` it."""

    delivered: bool


Arrival = Incoming | ReceiptUpdate | Presence | Call | GroupChange | BacklogUpdate
"""What others do, as opposed to events of the connection or the account."""


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message that WhatsApp accepted."""

    message_id: str
    timestamp: datetime


class WhatsAppError(Exception):
    """WhatsApp or its library refused something; the message says what."""

    @property
    def excludes_sending(self) -> bool:
        """Whether this error of a send proves that WhatsApp did not accept the message."""
        return _UNSENT.fullmatch(str(self)) is not None

    @property
    def disconnected(self) -> bool:
        """Whether it failed for lack of a connection. This does not say whether anything was sent."""
        return any(words in str(self) for words in _DISCONNECTED)


_UNSENT = re.compile(r"client is nil|failed to send message node: websocket not connected|server returned error \d+")
"""Errors of whatsmeow: there was no connection to send a message on, or WhatsApp refused it."""
_DISCONNECTED = ("not connected", "disconnected before info query", "client is nil")
"""Parts of errors of whatsmeow."""


OUTDATED = ConnectionReport(Signal.OUTDATED, "outdated", "WhatsApp refuses this version of the client")
WITHOUT_CONTENT = {
    event_codes.CONNECTED: ConnectionReport(Signal.CONNECTED),
    event_codes.KEEPALIVE_TIMEOUT: ConnectionReport(
        Signal.KEEPALIVE_LOST, "keepalive-timeout", "WhatsApp does not answer"
    ),
    event_codes.KEEPALIVE_RESTORED: ConnectionReport(Signal.KEEPALIVE_BACK),
    event_codes.STREAM_REPLACED: ConnectionReport(Signal.REPLACED, "replaced", "another client is using this session"),
    event_codes.CLIENT_OUTDATED: OUTDATED,
    event_codes.DISCONNECTED: ConnectionReport(
        Signal.DISCONNECTED, "disconnected", "the connection to WhatsApp was lost"
    ),
}
"""Events that consist of their number alone."""
ENDED_SILENTLY = ConnectionReport(Signal.DISCONNECTED, "ended-silently", "the connection ended without an event")
BACKLOG = {
    event_codes.OFFLINE_SYNC_PREVIEW: BacklogUpdate(delivered=False),
    event_codes.OFFLINE_SYNC_COMPLETED: BacklogUpdate(delivered=True),
}
"""Events of which only the number counts, in the order of the messages."""
UNHEALTHY = frozenset({WITHOUT_CONTENT[event_codes.KEEPALIVE_TIMEOUT].code, ENDED_SILENTLY.code})
"""Codes of faults that checks of the connection detect, as opposed to those that WhatsApp reports."""


def failure_of(error: str) -> ConnectionReport:
    """The report for the error that `Core.connect` ended with."""
    if "TemporaryBan" in error:  # neonize cannot encode a ban with a reason it does not know
        return ConnectionReport(Signal.BANNED, "temporary-ban", "banned for an unknown reason")
    if error.startswith("proto:"):  # neonize delivers nothing any more, though whatsmeow is connected
        return ConnectionReport(
            Signal.ATTEMPT_FAILED, "event-unreadable", f"neonize could not deliver an event: {error}"
        )
    return ConnectionReport(Signal.ATTEMPT_FAILED, "connect-failed", error or "the connection ended")


_VOLUME_ERRORS = ("disk is full", "disk I/O error", "unable to open database file", "no space left")
"""Errors of SQLite and Go about a volume."""


def is_session_error(error: str) -> bool:
    """Whether connecting failed because the session file is damaged; not when it cannot be written just now."""
    if any(words in error for words in _VOLUME_ERRORS):
        return False
    return "upgrade database" in error or "file is not a database" in error or "malformed" in error
