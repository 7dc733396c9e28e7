"""Decodes groups as the library reports them.

Importing this costs as much as importing `decode.py`.
"""

from datetime import UTC, datetime
from typing import Any

from bot_runtime.contract import Group, GroupMember
from bot_runtime.whatsapp.imports import defer_package
from bot_runtime.whatsapp.messages import WhatsAppError

defer_package("neonize")
from neonize.proto import Neonize_pb2 as neonize  # noqa: E402


def joined_groups(data: bytes) -> list[Group]:
    """The groups of a GetJoinedGroupsReturnFunction. Raises `WhatsAppError`."""
    answer = neonize.GetJoinedGroupsReturnFunction.FromString(data)
    if answer.Error:
        raise WhatsAppError(answer.Error)
    return [_group(group) for group in answer.Group]


def one_group(data: bytes) -> Group:
    """The group of a GetGroupInfoReturnFunction. Raises `WhatsAppError`."""
    answer = neonize.GetGroupInfoReturnFunction.FromString(data)
    if answer.Error:
        raise WhatsAppError(answer.Error)
    return _group(answer.GroupInfo)


def _group(info: Any) -> Group:
    return Group(
        id=_text(info.JID),
        subject=info.GroupName.Name,
        description=info.GroupTopic.Topic,
        owner=_text(info.OwnerJID) or None,
        # neonize passes a 32-bit float: accurate to about a minute
        created_at=datetime.fromtimestamp(info.GroupCreated, UTC) if info.GroupCreated > 0 else None,
        members=[
            GroupMember(id=_text(member.JID), phone_number=_number(member), admin=member.IsAdmin or member.IsSuperAdmin)
            for member in info.Participants
        ],
    )


def _number(member: Any) -> str | None:
    for jid in (member.PhoneNumber, member.JID):
        if jid.Server == "s.whatsapp.net" and jid.User:
            return str(jid.User)
    return None


def _text(jid: Any) -> str:
    return f"{jid.User}@{jid.Server}" if jid.User else ""
