"""The groups that a bot is a member of, as the bot last reported them."""

import re
from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field

from orchestrator.api.context import Selected, Session
from orchestrator.api.schemas import DEFAULT_PAGE, BotId, Limit, Page, ResponseBody, problems
from orchestrator.db import bots, groups
from orchestrator.db.groups import GroupMemberRow, GroupRow
from orchestrator.errors import NotFoundError

GROUP_ID_PATTERN = r"^[0-9]{5,32}(-[0-9]{5,32})?@g\.us$"

router = APIRouter(prefix="/api/bots/{id}/groups", tags=["groups"], responses=problems({404: "Bot or group not found"}))


class GroupMemberView(ResponseBody):
    """A member of a group."""

    id: str = Field(examples=["12345678901234@lid"])
    phone_number: str | None
    admin: bool

    @classmethod
    def of(cls, row: GroupMemberRow) -> Self:
        """The view of a database row."""
        return cls(id=row.id, phone_number=row.phone_number, admin=row.admin)


class GroupView(ResponseBody):
    """A group that a bot is a member of."""

    id: str = Field(examples=["120363041234567890@g.us"])
    subject: str
    description: str
    owner: str | None
    created_at: datetime | None = Field(description="When the group was created in WhatsApp.")
    updated_at: datetime = Field(description="When the bot reported the last change of the group or its members.")
    members: list[GroupMemberView]

    @classmethod
    def of(cls, row: GroupRow) -> Self:
        """The view of database rows."""
        group = row.group
        return cls(
            id=group.id,
            subject=group.subject,
            description=group.description,
            owner=group.owner,
            created_at=group.created_at,
            updated_at=group.updated_at,
            members=[GroupMemberView.of(member) for member in row.members],
        )


def _group_id(value: Annotated[str, Path(alias="groupId", examples=["120363041234567890@g.us"])]) -> str:
    if re.fullmatch(GROUP_ID_PATTERN, value) is None:
        raise NotFoundError(f"group {value!r} not found")
    return value


@router.get("", summary="List a bot's groups")
async def list_groups(
    bot_id: BotId,
    session: Session,
    scope: Selected,
    limit: Limit = DEFAULT_PAGE,
    after: Annotated[
        str | None, Query(alias="next", pattern=GROUP_ID_PATTERN, description="`next` of the previous page")
    ] = None,
) -> Page[GroupView]:
    """Ordered by id, with all members. Read from Postgres, so available while the bot is offline.

    A page ends early when its groups have 2,000 members; `next` continues it.
    """
    bot, _ = await bots.find(session, scope, bot_id)
    rows, following = await groups.page(session, bot.key, limit=limit, after=after)
    return Page(items=[GroupView.of(row) for row in rows], next=following)


@router.get("/{groupId}", summary="Read a group")
async def read(
    bot_id: BotId, session: Session, scope: Selected, group_id: Annotated[str, Depends(_group_id)]
) -> GroupView:
    """The group's subject, description, owner and members."""
    bot, _ = await bots.find(session, scope, bot_id)
    return GroupView.of(await groups.find(session, bot, group_id))
