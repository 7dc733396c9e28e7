"""Receipts of messages: they advance a message's state, never reverse it, and may arrive before it is recorded as sent.

Storing receipts and recording that a message was sent both hold one lock per bot until the commit, so the second always
sees the rows of the first.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, delete, exists, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from orchestrator.db.message_models import EarlyReceipt, Message
from orchestrator.db.models import BotKey
from orchestrator.states import MessageState

MAX_EARLY = 10_000
"""Stored receipts of one bot that no message has claimed; they are deleted after a day."""
_BEFORE = {
    MessageState.DELIVERED: (MessageState.SENT,),
    MessageState.READ: (MessageState.SENT, MessageState.DELIVERED),
}


async def lock(session: AsyncSession, bot_key: BotKey) -> None:
    """Wait for, and hold until the transaction ends, the lock that orders receipts and results of one bot."""
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))").bindparams(name=f"botdock acks of {bot_key}")
    )


async def take(
    session: AsyncSession, bot_key: BotKey, whatsapp_ids: Sequence[str], state: MessageState, *, at: datetime
) -> None:
    """Apply a receipt (`delivered` or `read`) for some of WhatsApp's message ids."""
    await lock(session, bot_key)
    known = set(
        (
            await session.execute(
                select(col(Message.whatsapp_id)).where(
                    col(Message.bot_key) == bot_key, col(Message.whatsapp_id).in_(whatsapp_ids)
                )
            )
        ).scalars()
    )
    if known:
        await session.execute(
            update(Message)
            .where(
                col(Message.bot_key) == bot_key,
                col(Message.whatsapp_id).in_(known),
                col(Message.state).in_(_BEFORE[state]),
            )
            .values(
                **_values(state, at), state=state, reason="", detail="", sent_at=_sent_before(at), updated_at=func.now()
            ),
            execution_options={"synchronize_session": False},
        )
    if early := sorted(set(whatsapp_ids) - known):
        await _store_early(session, bot_key, early, state, at)


async def _store_early(
    session: AsyncSession, bot_key: BotKey, early: Sequence[str], state: MessageState, at: datetime
) -> None:
    """Store receipts for messages being sent. Most others are for the bot's own replies, which are not tracked."""
    sending = select(exists().where(col(Message.bot_key) == bot_key, col(Message.state) == MessageState.SENDING))
    if not (await session.execute(sending)).scalar_one():
        return
    stored = select(literal(1)).where(col(EarlyReceipt.bot_key) == bot_key).limit(MAX_EARLY)
    number = (await session.execute(select(func.count()).select_from(stored.subquery()))).scalar_one()
    if number + len(early) > MAX_EARLY:
        return
    values = _values(state, at)
    rows = [{"bot_key": bot_key, "whatsapp_id": number, "state": state, **values} for number in early]
    statement = insert(EarlyReceipt).values(rows)
    # `delivered` after `read` adds nothing.
    newer = {"state": state, **values} if state is MessageState.READ else None
    await session.execute(
        statement.on_conflict_do_nothing()
        if newer is None
        else statement.on_conflict_do_update(index_elements=["bot_key", "whatsapp_id"], set_=newer)
    )


async def settle(session: AsyncSession, bot_key: BotKey, message_id: str, whatsapp_id: str) -> None:
    """Apply the receipt that arrived before a message was recorded as sent, if any. Needs `lock`."""
    early = (
        await session.execute(
            delete(EarlyReceipt)
            .where(col(EarlyReceipt.bot_key) == bot_key, col(EarlyReceipt.whatsapp_id) == whatsapp_id)
            .returning(col(EarlyReceipt.state), col(EarlyReceipt.delivered_at), col(EarlyReceipt.read_at))
        )
    ).one_or_none()
    if early is None:
        return
    await session.execute(
        update(Message)
        .where(col(Message.id) == message_id, col(Message.state) == MessageState.SENT)
        .values(
            state=early.state,
            reason="",
            detail="",
            delivered_at=early.delivered_at,
            read_at=early.read_at,
            sent_at=_sent_before(early.delivered_at or early.read_at),
        ),
        execution_options={"synchronize_session": False},
    )


def _sent_before(receipt: datetime) -> ColumnElement[datetime]:
    """When a message was sent: the bot's answer may have been recorded after the receipt arrived."""
    return func.greatest(col(Message.created_at), func.least(col(Message.sent_at), receipt))


def _values(state: MessageState, at: datetime) -> dict[str, datetime]:
    return {"delivered_at": at} if state is MessageState.DELIVERED else {"read_at": at}
