"""Rows of `groups` and `group_members`: what bots reported about their groups.

A bot reports changes (`contract.GroupUpdate`). Applying one again, or one that changes nothing, writes nothing.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, func, literal, literal_column, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel, col

from bot_runtime.contract import GroupInfo, GroupUpdate, MemberRange
from orchestrator.db.message_models import StoredGroup, StoredMember
from orchestrator.db.models import Bot, BotKey
from orchestrator.errors import NotFoundError

log = logging.getLogger(__name__)

MAX_GROUPS, MAX_MEMBERS = 10_000, 10_000
"""Of a bot, and of a group: WhatsApp has fewer, but a bot may report any number."""
MEMBERS_PER_PAGE = 2_000
"""A page with more members has fewer groups, but at least one."""

_GROUPS = SQLModel.metadata.tables["groups"]
_KEEP_ONLY = text("DELETE FROM groups WHERE bot_key = :bot_key AND id <> ALL(CAST(:ids AS text[]))")
_CHANGE_MEMBERS = text(
    """
    WITH gone AS (
        DELETE FROM group_members
        WHERE bot_key = :bot_key AND group_id = :group_id AND (
            id = ANY(CAST(:gone AS text[]))
            OR :complete AND id > :after AND (CAST(:until AS text) IS NULL OR id <= :until)
                AND id <> ALL(CAST(:ids AS text[]))
        )
        RETURNING id
    ), changed AS (
        INSERT INTO group_members AS old (bot_key, group_id, id, phone_number, admin)
        SELECT CAST(:bot_key AS text), CAST(:group_id AS text), member.id, member.phone_number, member.admin
        FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS text[]), CAST(:admins AS boolean[]))
            AS member (id, phone_number, admin)
        ON CONFLICT (bot_key, group_id, id) DO UPDATE
            SET phone_number = excluded.phone_number, admin = excluded.admin
            WHERE (old.phone_number, old.admin) IS DISTINCT FROM (excluded.phone_number, excluded.admin)
        RETURNING old.id
    )
    UPDATE groups SET updated_at = :updated_at
    WHERE bot_key = :bot_key AND id = :group_id AND (EXISTS (SELECT FROM gone) OR EXISTS (SELECT FROM changed))
    """
)


_CUT_MEMBERS = text(
    """
    DELETE FROM group_members WHERE bot_key = :bot_key AND group_id = :group_id AND id IN (
        SELECT id FROM group_members WHERE bot_key = :bot_key AND group_id = :group_id ORDER BY id OFFSET :most
    )
    """
)


@dataclass(frozen=True, slots=True)
class GroupMemberRow:
    """A member of a group."""

    id: str
    phone_number: str | None
    admin: bool


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group with its members, in the order of their ids."""

    group: StoredGroup
    members: list[GroupMemberRow]


async def page(
    session: AsyncSession, bot_key: BotKey, *, limit: int, after: str | None
) -> tuple[list[GroupRow], str | None]:
    """Groups of a bot in the order of their ids, starting after `after`; and the `after` of the next page, if any.

    At most `limit` groups, fewer if they have more than MEMBERS_PER_PAGE members in total.
    """
    query = _rows(bot_key).order_by(col(StoredGroup.id)).limit(limit + 1)
    if after is not None:
        query = query.where(col(StoredGroup.id) > after)
    found = list((await session.execute(query)).scalars())
    groups = found[:limit]
    members = await _members(session, bot_key, groups, limit=MEMBERS_PER_PAGE + 1)
    number = sum(map(len, members.values()))
    while number > MEMBERS_PER_PAGE and len(groups) > 1:
        number -= len(members[groups.pop().id])
    if number > MEMBERS_PER_PAGE:  # the first group alone
        members = await _members(session, bot_key, groups)
    rows = [GroupRow(group, members[group.id]) for group in groups]
    return rows, groups[-1].id if len(groups) < len(found) else None


async def find(session: AsyncSession, bot: Bot, group_id: str) -> GroupRow:
    """One group of a bot. Raises NotFoundError."""
    group = (await session.execute(_rows(bot.key).where(col(StoredGroup.id) == group_id))).scalar_one_or_none()
    if group is None:
        raise NotFoundError(f"bot {bot.id!r} is not in a group {group_id!r}")
    return GroupRow(group, (await _members(session, bot.key, [group]))[group_id])


async def apply(session: AsyncSession, *, server: str, bot_key: BotKey, update: GroupUpdate, at: datetime) -> None:
    """Apply an update of a bot's groups; `at` is when the bot reported it."""
    if update.left is not None:
        await session.execute(
            delete(StoredGroup).where(col(StoredGroup.bot_key) == bot_key, col(StoredGroup.id) == update.left)
        )
    if update.groups is not None:
        await session.execute(_KEEP_ONLY, {"bot_key": bot_key, "ids": update.groups})
    if update.group is not None:
        if not await _apply_info(session, server, bot_key, update.group, at):
            log.warning("a bot has more than %d groups: the group %s is not stored", MAX_GROUPS, update.group.id)
            return
        await _apply_members(session, bot_key, update, update.group.id, at)


async def _apply_info(session: AsyncSession, server: str, bot_key: BotKey, group: GroupInfo, at: datetime) -> bool:
    """False if the bot has so many groups that this one is not stored."""
    values = {
        "subject": group.subject,
        "description": group.description,
        "owner": group.owner,
        "created_at": group.created_at,
    }
    statement = insert(_GROUPS).values(bot_key=bot_key, id=group.id, server_name=server, updated_at=at, **values)
    differs = [_GROUPS.c[name].is_distinct_from(statement.excluded[name]) for name in values]
    upsert = statement.on_conflict_do_update(
        index_elements=["bot_key", "id"], set_={**values, "updated_at": at}, where=or_(*differs)
    )
    inserted: list[bool] = list((await session.execute(upsert.returning(literal_column("groups.xmax = 0")))).scalars())
    if inserted != [True]:
        return True
    stored = select(literal(1)).where(col(StoredGroup.bot_key) == bot_key).limit(MAX_GROUPS + 1)
    if (await session.execute(select(func.count()).select_from(stored.subquery()))).scalar_one() <= MAX_GROUPS:
        return True
    await session.execute(
        delete(StoredGroup).where(col(StoredGroup.bot_key) == bot_key, col(StoredGroup.id) == group.id)
    )
    return False


async def _apply_members(
    session: AsyncSession, bot_key: BotKey, update: GroupUpdate, group_id: str, at: datetime
) -> None:
    if not update.members and not update.gone and update.complete is None:
        return
    members = {member.id: member for member in update.members}  # a statement may change a row only once
    covered = update.complete or MemberRange()
    values: dict[str, Any] = {
        "bot_key": bot_key,
        "group_id": group_id,
        "gone": [member_id for member_id in update.gone if member_id not in members],
        "complete": update.complete is not None,
        "after": covered.after or "",
        "until": covered.until,
        "ids": list(members),
        "numbers": [member.phone_number for member in members.values()],
        "admins": [member.admin for member in members.values()],
        "updated_at": at,
    }
    await session.execute(_CHANGE_MEMBERS, values)
    if update.members:
        await session.execute(_CUT_MEMBERS, {"bot_key": bot_key, "group_id": group_id, "most": MAX_MEMBERS})


async def _members(
    session: AsyncSession, bot_key: BotKey, groups: Iterable[StoredGroup], *, limit: int | None = None
) -> dict[str, list[GroupMemberRow]]:
    """The members of a bot's groups, by group; at most `limit` in total, those of the first groups."""
    query = (
        select(
            col(StoredMember.group_id), col(StoredMember.id), col(StoredMember.phone_number), col(StoredMember.admin)
        )
        .where(col(StoredMember.bot_key) == bot_key, col(StoredMember.group_id).in_([group.id for group in groups]))
        .order_by(col(StoredMember.group_id), col(StoredMember.id))
        .limit(limit)
    )
    members: dict[str, list[GroupMemberRow]] = defaultdict(list)
    for group_id, member_id, phone_number, admin in await session.execute(query):
        members[group_id].append(GroupMemberRow(member_id, phone_number, admin))
    return members


def _rows(bot_key: BotKey) -> Select[StoredGroup]:
    return select(StoredGroup).where(col(StoredGroup.bot_key) == bot_key)
