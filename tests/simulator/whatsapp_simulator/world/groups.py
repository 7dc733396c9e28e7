"""Groups and who is in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from whatsapp_simulator.protocol.jid import GROUP, Jid


class Role(StrEnum):
    """The role of a member in a group."""

    MEMBER = "member"
    ADMIN = "admin"
    OWNER = "superadmin"


class GroupError(Exception):
    """An action is not allowed in a group. status: for the iq and the control API; code: a stable error code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(slots=True)
class Group:
    """A group. members: phone number → role; people are phone numbers, times are Unix seconds.

    announce: only admins may write; locked: only admins may change subject and description; ephemeral: seconds until
    messages disappear, 0 for never; crowd: how many further members there are, who neither send nor receive.
    """

    id: str
    subject: str
    creator: str
    created: int
    invite: str
    members: dict[str, Role]
    subject_by: str
    subject_at: int
    description: str = ""
    description_id: str = ""
    description_by: str = ""
    description_at: int = 0
    announce: bool = False
    locked: bool = False
    ephemeral: int = 0
    crowd: int = 0

    @property
    def jid(self) -> Jid:
        """Its address."""
        return Jid(self.id, GROUP)

    def is_admin(self, phone: str) -> bool:
        """Whether this person may change the members."""
        return self.members.get(phone, Role.MEMBER) is not Role.MEMBER

    def require_member(self, phone: str) -> None:
        """GroupError unless this person is in the group."""
        if phone not in self.members:
            raise GroupError(403, "not-a-member", f"{phone} is not in the group")

    def require_admin(self, phone: str) -> None:
        """GroupError unless this person is an admin."""
        self.require_member(phone)
        if not self.is_admin(phone):
            raise GroupError(403, "not-an-admin", f"{phone} is not an admin of the group")


class Groups:
    """All groups; call `touch` after changing one."""

    def __init__(self, groups: Iterable[Group] = ()) -> None:
        self._groups = {group.id: group for group in groups}
        self._touched: dict[str, Group] = {}

    def __iter__(self) -> Iterator[Group]:
        return iter(list(self._groups.values()))

    def find(self, address: Jid | None) -> Group | None:
        """The group with this address."""
        return self._groups.get(address.user) if address and address.server == GROUP else None

    def by_invite(self, code: str) -> Group | None:
        """The group with this invite code."""
        return next((group for group in self._groups.values() if group.invite == code), None)

    def of(self, phone: str) -> list[Group]:
        """The groups that a person is in."""
        return [group for group in self._groups.values() if phone in group.members]

    def add(self, group: Group) -> None:
        """Create a group."""
        self._groups[group.id] = group
        self.touch(group)

    def touch(self, group: Group) -> None:
        """Mark a group as changed."""
        self._touched[group.id] = group

    def take_touched(self) -> list[Group]:
        """The groups that changed since the last call."""
        touched, self._touched = self._touched, {}
        return list(touched.values())
