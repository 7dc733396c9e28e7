"""Contacts: receipts, presence, typing and calls."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from whatsapp_simulator.control.models.accounts import NewPerson
from whatsapp_simulator.control.models.base import Index, Model, Phone, Time


class NewContact(NewPerson):
    """A contact to create. readReceipts: send a read receipt for each message on arrival; unchanged if missing."""

    read_receipts: bool | None = None


class Contact(Model):
    """A person who writes to bots."""

    phone: Phone
    lid: str
    name: str
    read_receipts: bool


class ReceiptKind(StrEnum):
    """The state that a receipt reports."""

    DELIVERED = "delivered"
    READ = "read"
    PLAYED = "played"


class NewReceipt(Model):
    """A receipt to send. message: its id; kind: a `ReceiptKind`, or any other word to test unknown kinds."""

    message: str
    kind: str = Field(default=ReceiptKind.READ, pattern="^[a-z_-]{1,32}$")


class ReceiptItem(Model):
    """A bot's receipt for a message of the contact. chat: a group or `status@broadcast`; null in a one-to-one chat."""

    index: Index
    id: str
    sender: Phone = Field(alias="from")
    kind: str
    timestamp: Time
    chat: str | None = None


class Receipts(Model):
    """Receipts after an index, oldest first. next: pass it as `after` to continue."""

    items: list[ReceiptItem]
    next: int


class PresenceState(StrEnum):
    """Whether a person is online."""

    AVAILABLE = "available"
    UNAVAILABLE = "unavailable"


class NewPresence(Model):
    """The new presence of the contact."""

    state: PresenceState


class TypingState(StrEnum):
    """What a person does in a chat."""

    COMPOSING = "composing"
    RECORDING = "recording"
    PAUSED = "paused"


class NewTyping(Model):
    """The new typing state of the contact. to: a phone number or a group; times: how many notices of it are sent."""

    to: str
    state: TypingState = TypingState.COMPOSING
    times: int = Field(default=1, ge=1, le=100_000)


class ChatStateItem(Model):
    """A typing state that the contact sees. chat: the group; null in a one-to-one chat."""

    index: Index
    sender: Phone = Field(alias="from")
    state: str
    timestamp: Time
    chat: str | None


class ChatStates(Model):
    """Chat states after an index, oldest first. next: pass it as `after` to continue."""

    items: list[ChatStateItem]
    next: int


class NewCall(Model):
    """A call to start."""

    to: Phone
    video: bool = False


class Call(Model):
    """A call. state: ringing, rejected (by the bot) or ended (by the contact)."""

    id: str
    to: Phone
    video: bool
    state: str
    timestamp: Time


class Calls(Model):
    """The calls of a contact, oldest first."""

    items: list[Call]
