"""The groups of the account, and how they are reported."""

from datetime import datetime

from bot_runtime.contract.limits import ChatId, Digits, GroupId
from bot_runtime.contract.wire import Wire


class GroupMember(Wire, frozen=True):
    """A member of a group."""

    id: ChatId
    phone_number: Digits | None
    admin: bool


class GroupInfo(Wire, frozen=True):
    """A group without its members."""

    id: GroupId
    subject: str
    description: str
    owner: ChatId | None
    created_at: datetime | None


class Group(GroupInfo, frozen=True):
    """A group of the account. Its members are unique, and in the order of their ids."""

    members: list[GroupMember]


class MemberRange(Wire, frozen=True, omit_defaults=True):
    """Ids of members in the order of their bytes: greater than `after`, up to and including `until`. None: no limit."""

    after: ChatId | None = None
    until: ChatId | None = None


class GroupUpdate(Wire, frozen=True, omit_defaults=True):
    """The data of a `group-update` event: what has changed since the last one. Fields without a value are missing.

    `{group, members?, gone?}` is a change of one group; `{group, members, complete}` all of its members, or those of a
    range; `{left: id}` a group that the account has left; `{groups: [id]}` a list of all groups. A complete report has
    all groups in ranges, then the list. Each update can be applied any number of times.
    """

    group: GroupInfo | None = None
    members: list[GroupMember] = []
    """Those who joined, or whose role or number has changed."""
    gone: list[ChatId] = []
    """Those who are no longer in the group."""
    complete: MemberRange | None = None
    """`members` are all members in this range: others in it are gone."""
    left: GroupId | None = None
    groups: list[GroupId] | None = None
