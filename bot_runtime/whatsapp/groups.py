"""Decodes groups as the library reports them.

Importing this costs as much as importing `decode.py`.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from bot_runtime.contract import MAX_DESCRIPTION_CHARACTERS, Group, GroupMember, shortened
from bot_runtime.whatsapp.imports import defer_package
from bot_runtime.whatsapp.messages import WhatsAppError
from bot_runtime.whatsapp.protobuf_fields import fields, tag_of

defer_package("neonize")
from neonize.proto import Neonize_pb2 as neonize  # noqa: E402

_GROUP, _ERROR = tag_of(1), tag_of(2)
"""The fields of a GetJoinedGroupsReturnFunction, `{repeated GroupInfo Group = 1; string Error = 2}`."""


def joined_groups(data: memoryview) -> Iterator[Group]:
    """The groups of a GetJoinedGroupsReturnFunction, decoded one by one. Raises `WhatsAppError`."""
    for tag, value in fields(data):
        if tag == _GROUP:
            yield _group(neonize.GroupInfo.FromString(bytes(value)))
        elif tag == _ERROR:
            raise WhatsAppError(bytes(value).decode(errors="replace"))


def one_group(data: bytes) -> Group:
    """The group of a GetGroupInfoReturnFunction. Raises `WhatsAppError`."""
    answer = neonize.GetGroupInfoReturnFunction.FromString(data)
    if answer.Error:
        raise WhatsAppError(answer.Error)
    return _group(answer.GroupInfo)


def _group(info: Any) -> Group:
    members = {
        member.id: member
        for member in (
            GroupMember(id=_text(found.JID), phone_number=_number(found), admin=found.IsAdmin or found.IsSuperAdmin)
            for found in info.Participants
        )
    }
    return Group(
        id=_text(info.JID),
        subject=shortened(info.GroupName.Name),
        description=shortened(info.GroupTopic.Topic, MAX_DESCRIPTION_CHARACTERS),
        owner=_text(info.OwnerJID) or None,
        # neonize passes a 32-bit float: accurate to about a minute
        created_at=datetime.fromtimestamp(info.GroupCreated, UTC) if info.GroupCreated > 0 else None,
        members=[members[member_id] for member_id in sorted(members)],
    )


def _number(member: Any) -> str | None:
    for jid in (member.PhoneNumber, member.JID):
        if jid.Server == "s.whatsapp.net" and jid.User:
            return str(jid.User)
    return None


def _text(jid: Any) -> str:
    return f"{jid.User}@{jid.Server}" if jid.User else ""
