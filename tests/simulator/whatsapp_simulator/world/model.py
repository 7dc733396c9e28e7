"""The people of the simulated network and their devices, messages and settings."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from whatsapp_simulator.content.model import Content, Kind
from whatsapp_simulator.protocol.client_payload import SignedPreKey
from whatsapp_simulator.protocol.jid import LID, USER, Jid
from whatsapp_simulator.signal.device import SignalDevice

#: The maximum number of items in an inbox or a list of receipts, and of messages that a phone stores for retries.
MAX_ITEMS = 5000
MAX_MESSAGES = 1000


@dataclass(slots=True)
class Pending:
    """An encoded stanza that a device has not confirmed yet. ack_confirms: an ack is sufficient, even for a message."""

    stanza: bytes
    deliveries: int = 0
    ack_confirms: bool = False


@dataclass(slots=True)
class Device:
    """A linked device (a bot). prekeys: id → public key; pending: key → stanza, in order; times in Unix seconds.

    welcomed: it has received the app state key.
    """

    number: int
    noise_key: bytes
    identity_key: bytes
    registration_id: int
    signed_prekey: SignedPreKey
    paired_at: float
    last_active_at: float
    prekeys: dict[int, bytes] = field(default_factory=dict)
    pending: dict[str, Pending] = field(default_factory=dict)
    welcomed: bool = False


@dataclass(frozen=True, slots=True)
class InboxItem:
    """A message received by a phone. sender: a phone number; timestamp: Unix seconds.

    chat: a group or `status@broadcast`, empty for a one-to-one chat; media_error: why its file is invalid, or
    empty.
    """

    index: int
    id: str
    sender: str
    text: str
    timestamp: int
    chat: str = ""
    content: Content | None = None
    media_error: str = ""

    @property
    def kind(self) -> Kind:
        """The kind of the message."""
        return self.content.kind if self.content else Kind.TEXT


@dataclass(frozen=True, slots=True)
class ReceiptItem:
    """A receipt for a message of this person. kind: delivered, read or played; chat: as in `InboxItem`."""

    index: int
    id: str
    sender: str
    kind: str
    timestamp: int
    chat: str = ""


@dataclass(frozen=True, slots=True)
class ChatStateItem:
    """A typing state that this person sees: composing, recording or paused."""

    index: int
    sender: str
    state: str
    timestamp: int
    chat: str = ""


@dataclass(slots=True)
class Call:
    """A call from this person. state: ringing, rejected or ended."""

    id: str
    to: str
    video: bool
    state: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message that this phone sent, stored for retries. plaintext: the protobuf message.

    to: a phone number, empty for groups and statuses; chat: the address of the group or status; kind, edit, media_type:
    attributes of the stanza; peer: only for the client itself; viewers: phone numbers of the recipients of a status.
    """

    to: str
    plaintext: bytes
    timestamp: int
    chat: str = ""
    kind: str = "text"
    edit: str = ""
    media_type: str = ""
    peer: bool = False
    viewers: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Profile:
    """A profile with the bytes of its profile picture, if any. presence: available, unavailable or unknown."""

    about: str = ""
    picture: bytes = b""
    picture_id: str = ""
    presence: str = "unknown"
    last_seen: int = 0
    blocked: list[str] = field(default_factory=list)
    privacy: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class AppState:
    """The settings that an account's devices share: collection → encrypted patches; the first patch is version 1."""

    key: bytes = b""
    patches: dict[str, list[bytes]] = field(default_factory=dict)


@dataclass(slots=True)
class Person:
    """A person with a phone: an account that bots are linked to, a contact that writes to them, or both."""

    phone: str
    name: str
    signal: SignalDevice
    account: bool = False
    contact: bool = False
    read_receipts: bool = False
    devices: dict[int, Device] = field(default_factory=dict)
    next_device: int = 1
    inbox: list[InboxItem] = field(default_factory=list)
    receipts: list[ReceiptItem] = field(default_factory=list)
    next_index: int = 1
    sent: dict[str, SentMessage] = field(default_factory=dict)
    retries: dict[str, int] = field(default_factory=dict)
    #: Phone numbers of the accounts that queried the device list and are notified when it changes.
    watchers: list[str] = field(default_factory=list)
    chat_states: list[ChatStateItem] = field(default_factory=list)
    calls: dict[str, Call] = field(default_factory=dict)
    profile: Profile = field(default_factory=Profile)
    app_state: AppState = field(default_factory=AppState)

    @property
    def lid(self) -> str:
        """The user part of this person's hidden address: 15 digits that depend only on the phone number."""
        return lid_of(self.phone)

    def phone_jid(self, device: int = 0) -> Jid:
        """The phone-number address."""
        return Jid(self.phone, USER, device)

    def lid_jid(self, device: int = 0) -> Jid:
        """The hidden address."""
        return Jid(self.lid, LID, device)

    def assign_index(self) -> int:
        """Assign the index of a new inbox item, receipt or chat state."""
        index = self.next_index
        self.next_index += 1
        return index


def lid_of(phone: str) -> str:
    """The user part of the hidden address of a phone number."""
    digest = hashlib.sha256(b"lid " + phone.encode()).digest()
    return str(10**14 + int.from_bytes(digest[:8], "big") % (9 * 10**14))
