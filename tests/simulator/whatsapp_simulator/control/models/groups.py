"""Groups."""

from __future__ import annotations

from pydantic import Field

from whatsapp_simulator.control.models.base import Model, Phone, Time
from whatsapp_simulator.world.groups import Role


class NewGroup(Model):
    """A group to create. creator: its owner, who becomes a member without being listed.

    crowd: how many further members to list, who neither send nor receive.
    """

    creator: Phone
    subject: str = Field(min_length=1, max_length=100)
    members: list[Phone] = Field(default_factory=list)
    description: str = ""
    crowd: int = Field(default=0, ge=0, le=10_000)


class Member(Model):
    """A member of a group. role: member, admin or superadmin (the owner)."""

    phone: Phone
    role: Role


class Group(Model):
    """A group. invite: the invite link; ephemeralSeconds: when messages disappear, 0 for never.

    crowd: the number of members that are not listed here.
    """

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
    crowd: int


class Groups(Model):
    """A list of groups."""

    items: list[Group]


class GroupChange(Model):
    """Changes to a group; missing fields stay unchanged. by: who makes the change, default: the creator."""

    by: Phone | None = None
    subject: str | None = Field(default=None, min_length=1, max_length=100)
    description: str | None = None
    announce: bool | None = None
    locked: bool | None = None
    ephemeral_seconds: int | None = Field(default=None, ge=0)


class NewMembers(Model):
    """Members to add. by: who adds them, default: the creator."""

    phones: list[Phone] = Field(min_length=1)
    by: Phone | None = None


class NewRole(Model):
    """The new role of a member. by: who changes it, default: the creator."""

    admin: bool
    by: Phone | None = None
