"""Rows of `messages`, for the api: accept new ones within the rate limit, read, cancel.

The rate limit counts slots: a message may be sent from its slot on. The slot of a new message is now, or one window
after the slot of the `maximum`-th message before it, so no window ever contains more than `maximum` slots. Callers for
one chat take turns (an advisory lock), so the limit and the order hold for any number of them.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from orchestrator.db.message_models import Message, MessageFile
from orchestrator.db.models import Bot, BotKey
from orchestrator.errors import ConflictError, InvalidInputError, NotFoundError, QuotaError, TooManyMessagesError
from orchestrator.states import PENDING, MessageState

CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message to accept."""

    to_chat: str
    content: dict[str, Any]
    quote: dict[str, Any] | None
    file: bytes | None
    request_hash: str
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `maximum` messages to one recipient within any `window`."""

    maximum: int
    window: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much may wait to be sent, so that one tenant fills neither Postgres' disk nor another's time."""

    messages_per_bot: int
    file_bytes_per_server: int


async def earlier(session: AsyncSession, bot_key: BotKey, new: NewMessage) -> Message | None:
    """The message that was accepted first with this idempotency key, if any.

    Raises InvalidInputError for a key that was used for something else.
    """
    if new.idempotency_key is None:
        return None
    query = select(Message).where(col(Message.bot_key) == bot_key, col(Message.idempotency_key) == new.idempotency_key)
    row = (await session.execute(query)).scalar_one_or_none()
    if row is not None and row.request_hash != new.request_hash:
        raise InvalidInputError(
            "this idempotency key was used for a different message; use a new key", code="idempotency-key-reused"
        )
    return row


async def submit(
    session: AsyncSession, bot: Bot, new: NewMessage, limit: RateLimit, quota: Quota, *, queue: bool
) -> Message:
    """Accept a message and commit; for a known idempotency key, return the message that was accepted first.

    `queue`: a message beyond the rate limit waits for its slot instead of being refused. Raises InvalidInputError for
    a key that was used for something else, TooManyMessagesError, and QuotaError. Callers for several chats may exceed
    the quota by one message each.
    """
    bot_key, server_name = bot.key, bot.server_name  # a rollback would expire the row
    await _check_quota(session, bot, new, quota)
    await _take_turn(session, f"{bot_key}/{new.to_chat}")
    now, slot = await _slot(session, bot_key, new.to_chat, limit)
    if slot > now and not queue:
        if (first := await earlier(session, bot_key, new)) is not None:
            return first
        raise _limited(limit, slot - now)
    waits = {"reason": "rate-limited", "next_attempt_at": slot} if slot > now else {}
    inserted = await session.execute(
        insert(Message)
        .values(
            id=str(uuid.uuid4()),
            server_name=server_name,
            bot_key=bot_key,
            to_chat=new.to_chat,
            content=new.content,
            quote=new.quote,
            idempotency_key=new.idempotency_key,
            request_hash=new.request_hash,
            slot_at=slot,
            **waits,
        )
        .on_conflict_do_nothing()
        .returning(Message)
    )
    row = inserted.scalar_one_or_none()
    if row is None:
        # Another caller with the same key, perhaps for another chat, was faster.
        await session.rollback()
        if (first := await earlier(session, bot_key, new)) is not None:
            return first
        raise ConflictError("another call with this idempotency key is in progress; retry")
    if new.file is not None:
        await session.execute(insert(MessageFile).values(message_id=row.id, size=len(new.file), data=new.file))
    await session.commit()
    return row


async def find(session: AsyncSession, bot: Bot, message_id: str) -> Message:
    """One message of a bot. Raises NotFoundError."""
    query = select(Message).where(col(Message.bot_key) == bot.key, col(Message.id) == message_id)
    row = (await session.execute(query)).scalar_one_or_none()
    if row is None:
        raise NotFoundError(f"message {message_id!r} of bot {bot.id!r} does not exist")
    return row


async def page(
    session: AsyncSession,
    bot_key: BotKey,
    *,
    limit: int,
    before: int | None,
    state: str | None,
    to_chat: str | None,
) -> list[Message]:
    """At most `limit` messages of a bot before a `seq`, newest first."""
    query = select(Message).where(col(Message.bot_key) == bot_key)
    if before is not None:
        query = query.where(col(Message.seq) < before)
    if state is not None:
        query = query.where(col(Message.state) == state)
    if to_chat is not None:
        query = query.where(col(Message.to_chat) == to_chat)
    return list((await session.execute(query.order_by(col(Message.seq).desc()).limit(limit))).scalars())


async def cancel(session: AsyncSession, bot: Bot, message_id: str) -> Message:
    """Cancel a queued message and commit. Raises NotFoundError, and ConflictError when it is too late."""
    row = await find(session, bot, message_id)
    changed = await session.execute(
        update(Message)
        .where(col(Message.id) == message_id, col(Message.state) == MessageState.QUEUED)
        .values(
            state=MessageState.FAILED,
            reason=CANCELLED,
            detail="it was cancelled",
            slot_at=None,
            failed_at=func.now(),
            updated_at=func.now(),
        ),
        execution_options={"synchronize_session": False},
    )
    if getattr(changed, "rowcount", 0):
        await session.execute(delete(MessageFile).where(col(MessageFile.message_id) == message_id))
        await session.commit()
    await session.refresh(row)
    if row.reason != CANCELLED:
        raise ConflictError(
            f"message {message_id!r} is {row.state}: only a queued message can be cancelled", code="not-queued"
        )
    return row


async def _check_quota(session: AsyncSession, bot: Bot, new: NewMessage, quota: Quota) -> None:
    """Raise QuotaError if the message does not fit in."""
    waiting = select(col(Message.id)).where(col(Message.bot_key) == bot.key, col(Message.state).in_(PENDING))
    beyond = await session.scalar(waiting.offset(quota.messages_per_bot - 1).limit(1))
    if beyond is not None:
        raise QuotaError(
            f"{quota.messages_per_bot} messages of bot {bot.id!r} wait to be sent; "
            "retry when some have been sent, or cancel some"
        )
    if new.file is None:
        return
    query = (
        select(func.coalesce(func.sum(col(MessageFile.size)), 0))
        .join(Message, col(Message.id) == col(MessageFile.message_id))
        .where(col(Message.server_name) == bot.server_name)
    )
    if int(await session.scalar(query) or 0) + len(new.file) > quota.file_bytes_per_server:
        raise QuotaError(
            f"files of {quota.file_bytes_per_server >> 20} MiB wait to be sent by the bots of this server; "
            "retry when some have been sent, or cancel some",
            code="files-full",
        )


async def _take_turn(session: AsyncSession, chat: str) -> None:
    name = f"botdock messages to {chat}"
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))").bindparams(name=name))


async def _slot(session: AsyncSession, bot_key: BotKey, chat: str, limit: RateLimit) -> tuple[datetime, datetime]:
    """The time of Postgres' clock, and the slot of one more message."""
    nth = (
        select(col(Message.slot_at))
        .where(col(Message.bot_key) == bot_key, col(Message.to_chat) == chat, col(Message.slot_at).is_not(None))
        .order_by(col(Message.slot_at).desc())
        .offset(limit.maximum - 1)
        .limit(1)
        .scalar_subquery()
    )
    row = (await session.execute(select(func.clock_timestamp().label("now"), nth.label("nth")))).one()
    now: datetime = row.now
    return now, now if row.nth is None else max(now, row.nth + limit.window)


def _limited(limit: RateLimit, wait: timedelta) -> TooManyMessagesError:
    milliseconds = max(1, -(-wait // timedelta(milliseconds=1)))
    return TooManyMessagesError(
        f"at most {limit.maximum} messages in {limit.window.total_seconds():g} s to one recipient; "
        f'retry in {milliseconds} ms, or send "queue": true',
        retry_after_ms=milliseconds,
    )
