"""The JSON of the control API. Field names are camelCase on the wire."""

from __future__ import annotations

import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from whatsapp_simulator.world.failures import FailureKind

Phone = Annotated[str, Field(description="International phone number", examples=["491701234567"])]
Index = Annotated[int, Field(description="Increases with every item of a person; pass the last one as `after`")]


class Model(BaseModel):
    """What all of them have in common."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class Problem(Model):
    """An error: a stable code and a sentence."""

    code: str
    message: str


class Health(Model):
    """How much is going on. pairing: clients that wait to be linked."""

    status: str
    accounts: int
    connections: int
    pairing: int


class NewPerson(Model):
    """Somebody with a phone."""

    phone: Phone
    name: str | None = Field(default=None, min_length=1, max_length=100)


class NewContact(NewPerson):
    """A contact. readReceipts: whether the contact reads at once what arrives, and says so; unchanged when missing."""

    read_receipts: bool | None = None


class LinkedDevice(Model):
    """A device linked to an account."""

    jid: str
    connected: bool
    connected_since: datetime.datetime | None
    paired_at: datetime.datetime
    last_active_at: datetime.datetime


class FailureState(Model):
    """A failure in force. until: when it ends by itself; strikes: how many connections it may still hit."""

    kind: FailureKind
    until: datetime.datetime | None
    strikes: int | None


class Account(Model):
    """A simulated phone that bots are linked to."""

    phone: Phone
    lid: str
    name: str
    devices: list[LinkedDevice]
    failure: FailureState | None


class Accounts(Model):
    """All accounts."""

    items: list[Account]


class Scan(Model):
    """The text of the QR code that a client shows."""

    qr: str = Field(min_length=1, max_length=2000)


class EnterCode(Model):
    """The code that a client shows."""

    code: str = Field(min_length=1, max_length=40, examples=["ABCD-1234"])


class NewFailure(Model):
    """What is to go wrong, for how long (seconds) and how often (count: connections hit)."""

    kind: FailureKind
    seconds: float | None = Field(default=None, gt=0, le=86_400)
    count: int | None = Field(default=None, ge=1, le=100_000)
    delay_seconds: float = Field(default=2.0, gt=0, le=300, description="Of `slow`: how long each stanza is held back")


class Contact(Model):
    """Somebody who writes to bots."""

    phone: Phone
    lid: str
    name: str
    read_receipts: bool


class NewMessage(Model):
    """A text to somebody, by phone number."""

    to: Phone
    text: str = Field(min_length=1, max_length=65_536)


class SentMessage(Model):
    """A message that was sent."""

    id: str


class InboxItem(Model):
    """A text that arrived. from: a phone number."""

    index: Index
    id: str
    sender: Phone = Field(alias="from")
    text: str
    timestamp: datetime.datetime


class Inbox(Model):
    """Texts after an index, oldest first. next: pass it as `after` to go on."""

    items: list[InboxItem]
    next: int


class ReceiptItem(Model):
    """A receipt by a bot for a message of the contact. kind: delivered, read or played."""

    index: Index
    id: str
    sender: Phone = Field(alias="from")
    kind: str
    timestamp: datetime.datetime


class Receipts(Model):
    """Receipts after an index, oldest first."""

    items: list[ReceiptItem]
    next: int
