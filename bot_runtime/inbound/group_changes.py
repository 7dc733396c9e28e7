"""Which updates report a change of a group. Pure."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from bot_runtime.contract import Group, GroupInfo, GroupUpdate, MemberRange

_T = TypeVar("_T")

MEMBERS_PER_UPDATE = 100
"""About 6 KB. The orchestrator reads hundreds of events at a time."""


def all_of(group: Group) -> Iterator[GroupUpdate]:
    """A group with all of its members, in ranges: each can be applied for itself, and again."""
    info, members = _info(group), group.members
    for start in range(0, max(len(members), 1), MEMBERS_PER_UPDATE):
        end = start + MEMBERS_PER_UPDATE
        yield GroupUpdate(
            group=info,
            members=members[start:end],
            complete=MemberRange(
                after=members[start - 1].id if start else None,
                until=members[end - 1].id if end < len(members) else None,
            ),
        )


def changes(before: Group, now: Group) -> Iterator[GroupUpdate]:
    """What has changed in a group; nothing if it is the same."""
    info = _info(now)
    earlier = {member.id: member for member in before.members}
    remaining = {member.id for member in now.members}
    changed = [member for member in now.members if earlier.get(member.id) != member]
    gone = [member_id for member_id in earlier if member_id not in remaining]
    if not changed and not gone and info != _info(before):
        yield GroupUpdate(group=info)
    for members in _batches(changed):
        yield GroupUpdate(group=info, members=members)
    for ids in _batches(gone):
        yield GroupUpdate(group=info, gone=ids)


def _batches(items: Sequence[_T]) -> Iterator[list[_T]]:
    for start in range(0, len(items), MEMBERS_PER_UPDATE):
        yield list(items[start : start + MEMBERS_PER_UPDATE])


def _info(group: Group) -> GroupInfo:
    return GroupInfo(
        id=group.id,
        subject=group.subject,
        description=group.description,
        owner=group.owner,
        created_at=group.created_at,
    )
