"""Contacts: receipts, presence, typing and calls."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from whatsapp_simulator.control.models.accounts import NewPerson
from whatsapp_simulator.control.models.base import Index, Model, Phone, Time


class NewContact(NewPerson):
    """A contact. readReceipts: whether the contact reads at once what arrives, and says so; unchanged when missing."""

    read_receipts: bool | None = None


class Contact(Model):
    """Somebody who writes to bots."""

    phone: Phone
    lid: str
    name: str
    read_receipts: bool


class ReceiptKind(StrEnum):
    """What became of a message."""

    DELIVERED = "delivered"
    READ = "read"
    PLAYED = "played"


class NewReceipt(Model):
    """The contact reads a message, or plays it. message: its id; kind: a `ReceiptKind`, or a word that nobody knows."""

    message: str
    kind: str = Field(default=ReceiptKind.READ, pattern="^[a-z_-]{1,32}$")


class ReceiptItem(Model):
    """A receipt by a bot for a message of the contact. chat: the group or `status@broadcast`; null in a chat of two."""

    index: Index
    id: str
    sender: Phone = Field(alias="from")
    kind: str
    timestamp: Time
    chat: str | None = None


class Receipts(Model):
    """Receipts after an index, oldest first."""

    items: list[ReceiptItem]
    next: int


class PresenceState(StrEnum):
    """Whether somebody is online."""

    AVAILABLE = "available"
    UNAVAILABLE = "unavailable"


class NewPresence(Model):
    """The contact comes online, or goes."""

    state: PresenceState


class TypingState(StrEnum):
    """What somebody does in a chat."""

    COMPOSING = "composing"
    RECORDING = "recording"
    PAUSED = "paused"


class NewTyping(Model):
    """The contact types, records or stops. to: a phone number or a group."""

    to: str
    state: TypingState = TypingState.COMPOSING


class ChatStateItem(Model):
    """Somebody types, records or stops where the contact sees it. chat: the group, null in a chat of two."""

    index: Index
    sender: Phone = Field(alias="from")
    state: str
    timestamp: Time
    chat: str | None


class ChatStates(Model):
    """Chat states after an index, oldest first."""

    items: list[ChatStateItem]
    next: int


class NewCall(Model):
    """The contact calls an account."""

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
    """All calls of a contact, oldest first."""

    items: list[Call]
