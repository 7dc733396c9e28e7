"""The effects of a bot's events besides being stored: settings, groups, message states, counters.

`apply` runs in the transaction that inserts the events and receives only those that were inserted, so each event takes
effect exactly once. A malformed event has no effect, and is stored like any other.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from bot_runtime.contract import (
    MAX_DESCRIPTION_CHARACTERS,
    ConnectionState,
    Event,
    EventType,
    Group,
    GroupUpdate,
    MemberRange,
    RuntimeConfig,
    shortened,
)
from orchestrator.db import groups, receipts
from orchestrator.db.bot_settings import merge
from orchestrator.db.models import Bot, BotStatus
from orchestrator.db.storable import storable, storable_time
from orchestrator.states import MessageState

log = logging.getLogger(__name__)

BY_COMMAND = frozenset(
    {"prefix", "owners", "autoView", "typing", "antiDelete", "antiViewOnce", "chatgpt", "channelReactions"}
)
"""The settings that a bot's owner can change by command, so that the bot may report them."""

ACKS_AT_ONCE = 1000
"""Messages of a receipt that are looked up together."""
MAX_ID_CHARACTERS = 128
MAX_SETTINGS_BYTES = 64 << 10
"""Of the settings of a bot that it may reach by changes that it reports."""

_STATES = {"delivered": MessageState.DELIVERED, "read": MessageState.READ, "played": MessageState.READ}


class AckData(msgspec.Struct, frozen=True, rename="camel"):
    """Data of `message-ack`."""

    message_ids: list[str]
    state: str


class SettingsUpdate(msgspec.Struct, frozen=True, rename="camel"):
    """Data of `settings-update`."""

    settings: dict[str, Any]


async def apply(session: AsyncSession, bot: Bot, events: Sequence[Event]) -> None:
    """Apply the effects of these events of one bot, oldest first."""
    for event in events:
        try:
            match event.type:
                case EventType.MESSAGE_ACK:
                    await _ack(session, bot, event)
                case EventType.GROUP_UPDATE:
                    await _groups(session, bot, event)
                case EventType.SETTINGS_UPDATE:
                    await _settings(session, bot, event)
        except msgspec.ValidationError as exc:
            log.warning("bot %s: event %d (%s) has no effect: %s", bot.id, event.seq, event.type, exc)
    # Last, as everywhere: receipts are locked before the bot's status.
    await _count(session, bot, events)


async def _count(session: AsyncSession, bot: Bot, events: Sequence[Event]) -> None:
    counts: Counter[str] = Counter()
    for event in events:
        match event.type:
            case EventType.MESSAGE_UPSERT:
                messages = event.data.get("messages")
                if isinstance(messages, list):
                    own = [message for message in messages if isinstance(message, dict) and message.get("fromMe")]
                    counts["messages_received"] += len(messages) - len(own)
            case EventType.ERROR:
                counts["errors"] += 1
            case EventType.CONNECTION_UPDATE if event.data.get("state") == ConnectionState.RECONNECTING:
                counts["reconnections"] += 1
    if changes := {name: getattr(BotStatus, name) + number for name, number in counts.items() if number}:
        await session.execute(update(BotStatus).where(col(BotStatus.bot_key) == bot.key).values(**changes))


async def _ack(session: AsyncSession, bot: Bot, event: Event) -> None:
    ack = msgspec.convert(event.data, AckData)
    state = _STATES.get(ack.state)
    if state is None:
        return
    ids = [number for number in ack.message_ids if len(number) <= MAX_ID_CHARACTERS and "\0" not in number]
    for start in range(0, len(ids), ACKS_AT_ONCE):
        await receipts.take(session, bot.key, ids[start : start + ACKS_AT_ONCE], state, at=event.timestamp)


async def _groups(session: AsyncSession, bot: Bot, event: Event) -> None:
    change = _group_change(storable(event.data))
    await groups.apply(session, server=bot.server_name, bot_key=bot.key, update=change, at=event.timestamp)


def _group_change(data: dict[str, Any]) -> GroupUpdate:
    """The data of `group-update`. Runtimes of earlier versions report a whole group, with its members inside."""
    change = msgspec.convert(data, GroupUpdate)
    if change.group is not None:
        if not storable_time(change.group.created_at):
            raise msgspec.ValidationError("createdAt is a time that cannot be stored")
        description = shortened(change.group.description, MAX_DESCRIPTION_CHARACTERS)
        info = msgspec.structs.replace(change.group, subject=shortened(change.group.subject), description=description)
        change = msgspec.structs.replace(change, group=info)
    if change.group is None or "members" not in data["group"]:
        return change
    members = msgspec.convert(data["group"], Group).members
    return GroupUpdate(group=change.group, members=members, complete=MemberRange())


async def _settings(session: AsyncSession, bot: Bot, event: Event) -> None:
    change = msgspec.convert(storable(event.data), SettingsUpdate).settings
    if unknown := change.keys() - BY_COMMAND:
        raise msgspec.ValidationError(f"a bot may not change {', '.join(sorted(unknown))}")
    query = select(col(Bot.settings)).where(col(Bot.key) == bot.key).with_for_update(key_share=True)
    present = (await session.execute(query)).scalar_one_or_none()
    if present is None:
        return
    settings = merge(present, change)
    msgspec.convert(settings, RuntimeConfig)
    if len(msgspec.json.encode(settings)) > MAX_SETTINGS_BYTES:
        raise msgspec.ValidationError(f"the settings would have more than {MAX_SETTINGS_BYTES} bytes")
    await session.execute(
        update(Bot).where(col(Bot.key) == bot.key).values(settings=settings, updated_at=func.now()),
        execution_options={"synchronize_session": False},
    )
