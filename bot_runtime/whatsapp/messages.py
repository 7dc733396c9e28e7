"""What comes from WhatsApp and goes there, as plain data; `decode.py` and `encode.py` speak neonize's language."""

from dataclasses import dataclass
from datetime import datetime

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
    """Whose session this is; `number` is digits only."""

    number: str
    push_name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One message that arrived."""

    id: str
    chat: Address
    sender: Address
    sender_number: str | None
    from_me: bool
    is_group: bool
    text: str
    timestamp: datetime
    push_name: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A message WhatsApp took."""

    message_id: str
    timestamp: datetime


class WhatsAppError(Exception):
    """WhatsApp, or the library that speaks to it, refused something; the message says what."""


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


def failure_of(error: str) -> Status:
    """What the error text means that a call of connect ended with."""
    if "TemporaryBan" in error:  # a ban whose reason is unknown to neonize cannot be encoded
        return Status(Signal.BANNED, "temporary-ban", "banned for an unknown reason")
    return Status(Signal.ATTEMPT_FAILED, "connect-failed", error or "the connection ended")


def is_session_error(error: str) -> bool:
    """Whether connecting failed because of the session file, not of the network."""
    return "upgrade database" in error or "file is not a database" in error or "malformed" in error
