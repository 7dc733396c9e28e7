"""The groups that a bot is a member of, as the bot last reported them."""

import re
from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field

from orchestrator.api.context import Session, Visible
from orchestrator.api.schemas import DEFAULT_PAGE, BotId, Limit, Page, ResponseBody, problems
from orchestrator.db import bots, groups
from orchestrator.db.message_models import StoredGroup
from orchestrator.errors import NotFoundError

GROUP_ID_PATTERN = r"^[0-9]{5,32}(-[0-9]{5,32})?@g\.us$"

router = APIRouter(prefix="/api/bots/{id}/groups", tags=["groups"], responses=problems({404: "Bot or group not found"}))


class GroupMemberView(ResponseBody):
    """A member of a group."""

    id: str = Field(examples=["12345678901234@lid"])
    phone_number: str | None
    admin: bool


class GroupView(ResponseBody):
    """A group that a bot is a member of."""

    id: str = Field(examples=["120363041234567890@g.us"])
    subject: str
    description: str
    owner: str | None
    created_at: datetime | None = Field(description="When the group was created in WhatsApp.")
    updated_at: datetime = Field(description="When the bot last reported the group.")
    members: list[GroupMemberView]

    @classmethod
    def of(cls, row: StoredGroup) -> Self:
        """The view of a database row."""
        return cls(
            id=row.id,
            subject=row.subject,
            description=row.description,
            owner=row.owner,
            created_at=row.created_at,
            updated_at=row.updated_at,
            members=[GroupMemberView.model_validate(member) for member in row.members],
        )


def _group_id(value: Annotated[str, Path(alias="groupId", examples=["120363041234567890@g.us"])]) -> str:
    if re.fullmatch(GROUP_ID_PATTERN, value) is None:
        raise NotFoundError(f"group {value!r} not found")
    return value


@router.get("", summary="List a bot's groups")
async def list_groups(
    bot_id: BotId,
    session: Session,
    scope: Visible,
    limit: Limit = DEFAULT_PAGE,
    after: Annotated[
        str | None, Query(alias="next", pattern=GROUP_ID_PATTERN, description="`next` of the previous page")
    ] = None,
) -> Page[GroupView]:
    """Ordered by id. Read from Postgres, so available while the bot is offline."""
    await bots.find(session, scope, bot_id)
    rows = await groups.page(session, scope, bot_id, limit=limit + 1, after=after)
    return Page(
        items=[GroupView.of(row) for row in rows[:limit]], next=rows[limit - 1].id if len(rows) > limit else None
    )


@router.get("/{groupId}", summary="Read a group")
async def read(
    bot_id: BotId, session: Session, scope: Visible, group_id: Annotated[str, Depends(_group_id)]
) -> GroupView:
    """The group's subject, description, owner and members."""
    return GroupView.of(await groups.find(session, scope, bot_id, group_id))
