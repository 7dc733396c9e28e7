"""The updates that report a change of a group."""

from datetime import UTC, datetime

import msgspec
import pytest

from bot_runtime.contract import Group, GroupInfo, GroupMember, GroupUpdate, MemberRange
from bot_runtime.inbound.group_changes import MEMBERS_PER_UPDATE, all_of, changes

INFO = GroupInfo(id="1@g.us", subject="Choir", description="", owner=None, created_at=datetime(2026, 1, 2, tzinfo=UTC))


def member(number: int, *, admin: bool = False) -> GroupMember:
    return GroupMember(id=f"{number:05}@lid", phone_number=f"49{number:05}", admin=admin)


def group(*numbers: int, subject: str = "Choir", admin: int | None = None) -> Group:
    fields = {**msgspec.structs.asdict(INFO), "subject": subject}
    return Group(**fields, members=[member(number, admin=number == admin) for number in numbers])


def applied(updates: list[GroupUpdate], members: dict[str, GroupMember]) -> dict[str, GroupMember]:
    """The members of a receiver after these updates."""
    for update in updates:
        covered = update.complete
        if covered is not None:
            members = {
                member_id: member
                for member_id, member in members.items()
                if not (covered.after or "") < member_id <= (covered.until or "~")
            }
        members |= {member.id: member for member in update.members}
        members = {member_id: member for member_id, member in members.items() if member_id not in update.gone}
    return members


def test_a_new_group_is_reported_with_all_members() -> None:
    assert list(all_of(group(1, 2))) == [
        GroupUpdate(group=INFO, members=[member(1), member(2)], complete=MemberRange())
    ]


def test_a_large_group_is_split_into_adjacent_ranges() -> None:
    size = MEMBERS_PER_UPDATE
    updates = list(all_of(group(*range(2 * size + 1))))
    assert [len(update.members) for update in updates] == [size, size, 1]
    first, second = member(size - 1).id, member(2 * size - 1).id
    assert [update.complete for update in updates] == [
        MemberRange(until=first),
        MemberRange(after=first, until=second),
        MemberRange(after=second),
    ]


def test_a_group_without_members_is_reported_once() -> None:
    assert list(all_of(group())) == [GroupUpdate(group=INFO, complete=MemberRange())]


def test_an_unchanged_group_is_not_reported() -> None:
    assert list(changes(group(1, 2), group(1, 2))) == []


def test_a_new_subject_is_reported_without_members() -> None:
    (update,) = changes(group(1, 2), group(1, 2, subject="Band"))
    assert update == GroupUpdate(group=msgspec.structs.replace(INFO, subject="Band"))


def test_only_members_who_joined_left_or_changed_are_reported() -> None:
    updates = list(changes(group(1, 2, 3), group(2, 3, 4, admin=3)))
    assert updates == [
        GroupUpdate(group=INFO, members=[member(3, admin=True), member(4)]),
        GroupUpdate(group=INFO, gone=[member(1).id]),
    ]


def test_many_changes_are_split() -> None:
    size = MEMBERS_PER_UPDATE
    updates = list(changes(group(*range(size + 1)), group(*range(1000, 1001 + size))))
    assert [(len(update.members), len(update.gone)) for update in updates] == [(size, 0), (1, 0), (0, size), (0, 1)]


@pytest.mark.parametrize(
    "numbers", [(), (1,), tuple(range(MEMBERS_PER_UPDATE)), tuple(range(50, 3 * MEMBERS_PER_UPDATE))]
)
def test_all_members_replace_whatever_a_receiver_had(numbers: tuple[int, ...]) -> None:
    now = group(*numbers)
    had = {member.id: member for member in group(*range(200), 99_999, admin=60).members}
    updates = list(all_of(now))
    assert list(applied(updates, dict(had)).values()) == now.members
    assert list(applied([*updates, *updates], dict(had)).values()) == now.members


def test_the_json_of_an_update_has_only_what_it_states() -> None:
    assert msgspec.to_builtins(GroupUpdate(left="1@g.us")) == {"left": "1@g.us"}
    assert msgspec.to_builtins(GroupUpdate(groups=[])) == {"groups": []}
    (update,) = changes(group(1), group(1, 2))
    assert msgspec.to_builtins(update) == {
        "group": {
            "id": "1@g.us",
            "subject": "Choir",
            "description": "",
            "owner": None,
            "createdAt": "2026-01-02T00:00:00Z",
        },
        "members": [{"id": "00002@lid", "phoneNumber": "4900002", "admin": False}],
    }
