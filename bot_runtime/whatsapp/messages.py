"""What comes from WhatsApp and goes there, as plain data; `decode.py` and `encode.py` speak neonize's language."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from bot_runtime.whatsapp import core
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.state import Signal


@dataclass(frozen=True, slots=True)
class Status:
    """Something that changes the connection, with a sentence for people when it is a fault."""

    signal: Signal
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """Whose session this is; `number` is digits only, `lid` its id where numbers are hidden."""

    number: str
    push_name: str | None
    lid: str | None = None


class Kind(StrEnum):
    """What a message is."""

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
    """What a message says."""

    kind: Kind
    text: str = ""
    """The text, or the caption of a file; at most 64 KiB in UTF-8."""
    details: dict[str, Any] = field(default_factory=dict)
    """What else the event shows, by its names there: media, quoted, reaction, poll, location, contact, viewOnce …"""
    mentions: tuple[str, ...] = ()
    """The ids of those who are mentioned."""
    target: str = ""
    """The id of the message that is revoked or edited."""
    view_once: bool = False
    sealed: bytes = b""
    """The library's event of a vote: what opening it takes."""
    file: bytes = b""
    """The message in WhatsApp's own form when it carries a file: what fetching or forwarding it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One message that arrived."""

    id: str
    chat: Address
    sender: Address
    sender_number: str | None
    from_me: bool
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
class Ack:
    """Messages of ours were delivered, read or played; `by` is who did it."""

    message_ids: tuple[str, ...]
    chat: Address
    by: Address
    state: str


@dataclass(frozen=True, slots=True)
class Presence:
    """Somebody is available, unavailable, composing, recording or paused; `chat` is where they write."""

    who: Address
    presence: str
    chat: Address | None = None
    last_seen: datetime | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A call is offered, accepted or ended; `status` says which. Bots answer no calls."""

    id: str
    caller: Address
    status: str


@dataclass(frozen=True, slots=True)
class GroupChange:
    """Something about a group is different; `left` are those who are no longer in it."""

    group: Address
    left: tuple[Address, ...] = ()
    deleted: bool = False


Arrival = Incoming | Ack | Presence | Call | GroupChange
"""What others do, unlike what concerns the connection or the account."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message WhatsApp took."""

    message_id: str
    timestamp: datetime


class WhatsAppError(Exception):
    """WhatsApp, or the library that speaks to it, refused something; the message says what."""

    @property
    def away(self) -> bool:
        """Whether it failed only because there was no connection, and before anything was sent."""
        return any(words in str(self) for words in _AWAY)


_AWAY = ("not connected", "disconnected before info query", "client is nil")
"""Errors of whatsmeow."""


OUTDATED = Status(Signal.OUTDATED, "outdated", "WhatsApp refuses this version of the client")
WITHOUT_CONTENT = {
    core.CONNECTED: Status(Signal.CONNECTED),
    core.KEEPALIVE_TIMEOUT: Status(Signal.KEEPALIVE_LOST, "keepalive-timeout", "WhatsApp does not answer"),
    core.KEEPALIVE_RESTORED: Status(Signal.KEEPALIVE_BACK),
    core.STREAM_REPLACED: Status(Signal.REPLACED, "replaced", "another client has taken this session over"),
    core.CLIENT_OUTDATED: OUTDATED,
    core.DISCONNECTED: Status(Signal.DISCONNECTED, "disconnected", "the connection to WhatsApp was lost"),
}
"""Events that are told apart by their number alone."""
ENDED_SILENTLY = Status(Signal.DISCONNECTED, "ended-silently", "the connection ended without a word")
UNHEALTHY = frozenset({WITHOUT_CONTENT[core.KEEPALIVE_TIMEOUT].code, ENDED_SILENTLY.code})
"""Codes of what is found out by looking after a connection, not told by WhatsApp."""


def failure_of(error: str) -> Status:
    """What the error text means that a call of connect ended with."""
    if "TemporaryBan" in error:  # a ban whose reason is unknown to neonize cannot be encoded
        return Status(Signal.BANNED, "temporary-ban", "banned for an unknown reason")
    if error.startswith("proto:"):  # neonize hands over nothing any more, though whatsmeow is connected
        return Status(Signal.ATTEMPT_FAILED, "event-unreadable", f"neonize could not hand over an event ({error})")
    return Status(Signal.ATTEMPT_FAILED, "connect-failed", error or "the connection ended")


def is_session_error(error: str) -> bool:
    """Whether connecting failed because of the session file, not of the network."""
    return "upgrade database" in error or "file is not a database" in error or "malformed" in error
