"""Groups."""

from __future__ import annotations

from pydantic import Field

from whatsapp_simulator.control.models.base import Model, Phone, Time
from whatsapp_simulator.world.groups import Role


class NewGroup(Model):
    """A group. creator owns it, and is a member without being listed."""

    creator: Phone
    subject: str = Field(min_length=1, max_length=100)
    members: list[Phone] = Field(default_factory=list)
    description: str = ""


class Member(Model):
    """Somebody in a group. role: member, admin or superadmin (the owner)."""

    phone: Phone
    role: Role


class Group(Model):
    """A group. invite: the link; ephemeralSeconds: when messages disappear, 0 for never."""

    id: str
    subject: str
    description: str
    creator: Phone
    created_at: Time
    invite: str
    announce: bool
    locked: bool
    ephemeral_seconds: int
    members: list[Member]


class Groups(Model):
    """All groups."""

    items: list[Group]


class GroupChange(Model):
    """What is to change; the rest stays. by: who does it, the creator when missing."""

    by: Phone | None = None
    subject: str | None = Field(default=None, min_length=1, max_length=100)
    description: str | None = None
    announce: bool | None = None
    locked: bool | None = None
    ephemeral_seconds: int | None = Field(default=None, ge=0)


class NewMembers(Model):
    """People to add. by: who does it, the creator when missing."""

    phones: list[Phone] = Field(min_length=1)
    by: Phone | None = None


class NewRole(Model):
    """Make somebody an admin, or a member again. by: who does it, the creator when missing."""

    admin: bool
    by: Phone | None = None
