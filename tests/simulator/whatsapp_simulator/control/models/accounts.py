"""Accounts, and the failures they meet."""

from __future__ import annotations

import datetime

from pydantic import Field

from whatsapp_simulator.control.models.base import Base64, Model, Phone
from whatsapp_simulator.world.failures import FailureKind


class NewPerson(Model):
    """Somebody with a phone."""

    phone: Phone
    name: str | None = Field(default=None, min_length=1, max_length=100)


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


class Profile(Model):
    """What others see of somebody. presence: available, unavailable or unknown; picture: whether there is one."""

    name: str
    about: str
    picture: bool
    presence: str
    last_seen: datetime.datetime | None
    blocked: list[Phone]
    privacy: dict[str, str]


class ProfileChange(Model):
    """What is to change; the rest stays. picture: base64, empty for none."""

    name: str | None = Field(default=None, min_length=1, max_length=100)
    about: str | None = Field(default=None, max_length=1000)
    picture: Base64 | None = None
