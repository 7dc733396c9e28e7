"""Decoding groups from the library's messages."""

from typing import Any

import pytest

from bot_runtime.contract import GroupMember
from bot_runtime.whatsapp.groups import joined_groups, one_group
from bot_runtime.whatsapp.imports import defer_package
from bot_runtime.whatsapp.messages import WhatsAppError
from bot_runtime.whatsapp.protobuf_fields import fields, tag_of

defer_package("neonize")
from neonize.proto import Neonize_pb2 as neonize  # noqa: E402


def jid(text: str) -> Any:
    user, _, server = text.rpartition("@")
    return neonize.JID(User=user, RawAgent=0, Device=0, Integrator=0, Server=server, IsEmpty=not user)


def participant(who: str, number: str = "@", *, admin: bool = False) -> Any:
    return neonize.GroupParticipant(JID=jid(who), LID=jid("@"), PhoneNumber=jid(number), IsAdmin=admin)


def info(group: str, *participants: Any, created: float = 0) -> Any:
    return neonize.GroupInfo(
        JID=jid(group),
        OwnerJID=jid("@"),
        GroupName=neonize.GroupName(Name="Choir"),
        GroupTopic=neonize.GroupTopic(Topic="of ducks"),
        GroupCreated=created,
        Participants=participants,
    )


def answer(*groups: Any, error: str = "") -> memoryview:
    message = neonize.GetJoinedGroupsReturnFunction(Group=groups)
    if error:
        message.Error = error
    return memoryview(message.SerializePartialToString())


def test_groups_are_decoded_one_by_one() -> None:
    groups = joined_groups(answer(info("1@g.us", participant("7@lid")), info("2@g.us"), error="broken"))
    assert next(groups).id == "1@g.us"
    assert next(groups).subject == "Choir"
    with pytest.raises(WhatsAppError, match="broken"):
        next(groups)


def test_no_groups() -> None:
    assert list(joined_groups(answer())) == []


def test_members_are_unique_and_in_the_order_of_their_ids() -> None:
    members = (participant("9@lid", "4917@s.whatsapp.net"), participant("10@lid", admin=True), participant("9@lid"))
    (group,) = joined_groups(answer(info("1@g.us", *members, created=1_767_323_008)))
    assert group.members == [
        GroupMember(id="10@lid", phone_number=None, admin=True),
        GroupMember(id="9@lid", phone_number=None, admin=False),
    ]
    assert (group.owner, group.description) == (None, "of ducks")
    assert group.created_at is not None
    assert group.created_at.year == 2026


def test_an_answer_with_an_error_has_no_group() -> None:
    message = neonize.GetGroupInfoReturnFunction(Error="item-not-found")
    with pytest.raises(WhatsAppError, match="item-not-found"):
        one_group(message.SerializePartialToString())


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 300_000])
def test_fields_of_any_length_are_read_in_place(size: int) -> None:
    value = bytes(range(256)) * (size // 256) + bytes(size % 256)
    message = neonize.DownloadReturnFunction(Binary=value, Error="late").SerializePartialToString()
    view = memoryview(message)
    found = list(fields(view))
    assert [(tag, bytes(item)) for tag, item in found] == [(tag_of(1), value), (tag_of(2), b"late")]
    assert all(item.obj is message for _, item in found)
