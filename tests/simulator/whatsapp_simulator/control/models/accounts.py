"""Accounts, their profiles and failures."""

from __future__ import annotations

import datetime

from pydantic import Field

from whatsapp_simulator.control.models.base import Base64, Model, Phone
from whatsapp_simulator.world.failures import FailureKind


class NewPerson(Model):
    """An account or contact to create."""

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
    """An active failure. until: when it expires; remainingConnections: how many connections it may still affect."""

    kind: FailureKind
    until: datetime.datetime | None
    remaining_connections: int | None


class Account(Model):
    """A simulated phone that bots are linked to."""

    phone: Phone
    lid: str
    name: str
    devices: list[LinkedDevice]
    failure: FailureState | None


class Accounts(Model):
    """A list of accounts."""

    items: list[Account]


class Scan(Model):
    """The text of the QR code that a client shows."""

    qr: str = Field(min_length=1, max_length=2000)


class EnterCode(Model):
    """The code that a client shows."""

    code: str = Field(min_length=1, max_length=40, examples=["ABCD-1234"])


class NewFailure(Model):
    """A failure to inject. seconds: how long it stays active; count: how many connections it affects."""

    kind: FailureKind
    seconds: float | None = Field(default=None, gt=0, le=86_400)
    count: int | None = Field(default=None, ge=1, le=100_000)
    delay_seconds: float = Field(default=2.0, gt=0, le=300, description="`slow` only: delay of each stanza")


class Profile(Model):
    """A profile. presence: available, unavailable or unknown; profilePicture: whether there is one."""

    name: str
    about: str
    profile_picture: bool
    presence: str
    last_seen: datetime.datetime | None
    blocked: list[Phone]
    privacy: dict[str, str]


class ProfileChange(Model):
    """Changes to a profile; missing fields stay unchanged. profilePicture: base64, empty to remove it."""

    name: str | None = Field(default=None, min_length=1, max_length=100)
    about: str | None = Field(default=None, max_length=1000)
    profile_picture: Base64 | None = None
