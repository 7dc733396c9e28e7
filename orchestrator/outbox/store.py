"""The dispatcher's reads and writes of messages. Every write is fenced by the leader's epoch."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from orchestrator.db import fence, receipts
from orchestrator.db.bots import key_of
from orchestrator.db.message_models import Message, MessageFile
from orchestrator.db.models import Bot, BotKey, BotStatus
from orchestrator.db.session import Database
from orchestrator.db.storable import storable
from orchestrator.outbox.delivery_policy import RATE_LIMITED, Head, Next, Sent
from orchestrator.states import PENDING, MessageState

MAX_HEADS = 50
"""Chats of one bot that are read together."""
ENOUGH_HEADS = 20
"""More than a bot has in flight: with so many of the longest waiting, there is one to send if there is any."""
EARLIEST = 2_000
"""Messages among which these are looked for first, if there are more chats than MAX_HEADS."""
HEADS = text("""
    WITH RECURSIVE heads AS (
        (
            SELECT id, seq, to_chat, state, created_at, next_attempt_at, attempted_on FROM messages
            WHERE bot_key = :bot AND state IN ('queued', 'sending') ORDER BY to_chat, seq LIMIT 1
        )
        UNION ALL
        SELECT following.* FROM heads, LATERAL (
            SELECT id, seq, to_chat, state, created_at, next_attempt_at, attempted_on FROM messages
            WHERE bot_key = :bot AND state IN ('queued', 'sending') AND to_chat > heads.to_chat
            ORDER BY to_chat, seq LIMIT 1
        ) AS following
    )
    SELECT *, clock_timestamp() AS now FROM (SELECT * FROM heads LIMIT :chats) AS found
    ORDER BY next_attempt_at ASC NULLS FIRST, seq LIMIT :limit
""")
"""Goes from chat to chat in the index `messages_pending`: reads one row of each chat, however many wait behind it, of
`chats` chats at most (NULL: of all)."""
EARLIEST_HEADS = text("""
    SELECT *, clock_timestamp() AS now FROM (
        SELECT id, seq, to_chat, state, created_at, next_attempt_at, attempted_on FROM messages
        WHERE bot_key = :bot AND state IN ('queued', 'sending')
        ORDER BY next_attempt_at ASC NULLS FIRST, seq LIMIT :earliest
    ) AS message
    WHERE seq = (
        SELECT seq FROM messages AS head
        WHERE head.bot_key = :bot AND head.state IN ('queued', 'sending') AND head.to_chat = message.to_chat
        ORDER BY seq LIMIT 1
    )
    ORDER BY next_attempt_at ASC NULLS FIRST, seq LIMIT :limit
""")
"""Goes from message to message in the index `messages_due`, and omits those that are not the first of their chat: reads
few rows of a bot with thousands of chats."""
CHUNK_BYTES = 256 << 10
"""Of a file in memory, for each message in flight: bots that hang during an upload must not fill the memory."""
PRUNE_BATCH = 2_000
PRUNE_MESSAGES = text("""
    DELETE FROM messages WHERE id IN (
        SELECT id FROM messages
        WHERE server_name = :server AND state NOT IN ('queued', 'sending')
          AND updated_at < now() - make_interval(days => :days)
        LIMIT :limit
    )
""")
PRUNE_RECEIPTS = text("""
    DELETE FROM early_acks WHERE (bot_key, whatsapp_id) IN (
        SELECT bot_key, whatsapp_id FROM early_acks WHERE created_at < now() - interval '1 day' LIMIT :limit
    )
""")
_IN_PLACE = {"synchronize_session": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedMessage:
    """A message to send now."""

    id: str
    bot_key: BotKey
    chat: str
    content: dict[str, Any]
    quote: dict[str, Any] | None
    attempts: int
    file_size: int | None
    """Bytes of its file; None without one."""


class OutboxStore:
    """The messages of one server, for the controller that holds `epoch`."""

    def __init__(self, database: Database, *, server: str, epoch: int) -> None:
        self._database = database
        self._server = server
        self._epoch = epoch

    async def waiting_bots(self) -> list[str]:
        """The bots that have pending messages."""
        pending = select(col(Message.id)).where(col(Message.bot_key) == col(Bot.key), col(Message.state).in_(PENDING))
        query = select(col(Bot.id)).where(col(Bot.server_name) == self._server, pending.exists())
        async with self._database.session() as session:
            return list((await session.execute(query)).scalars())

    async def heads(self, bot_id: str) -> tuple[list[Head], datetime]:
        """The first pending message of each chat, longest waiting first, and the time of Postgres' clock."""
        async with self._database.session() as session:
            key = await session.scalar(select(key_of(self._server, bot_id)))
            # One more than are returned shows whether there are more.
            some = {"bot": key, "chats": MAX_HEADS + 1, "limit": MAX_HEADS + 1}
            rows = (await session.execute(HEADS, some)).all()
            if len(rows) > MAX_HEADS:
                earliest = {"bot": key, "earliest": EARLIEST, "limit": MAX_HEADS}
                rows = (await session.execute(EARLIEST_HEADS, earliest)).all()
                if len(rows) < ENOUGH_HEADS:  # most are behind others of the same few chats
                    rows = (await session.execute(HEADS, some | {"chats": None, "limit": MAX_HEADS})).all()
        heads = [
            Head(
                id=found.id,
                chat=found.to_chat,
                state=MessageState(found.state),
                created_at=found.created_at,
                next_attempt_at=found.next_attempt_at,
                attempted_on=found.attempted_on,
            )
            for found in rows
        ]
        return heads, rows[0].now if rows else datetime.now(UTC)

    async def begin(self, head: Head, *, volume: str) -> QueuedMessage | None:
        """Record that a message is being sent, before the bot is asked. None if it was cancelled meanwhile."""
        file_size = select(col(MessageFile.size)).where(col(MessageFile.message_id) == head.id).scalar_subquery()
        statement = (
            update(Message)
            .where(col(Message.id) == head.id, col(Message.state).in_(PENDING))
            .values(
                state=MessageState.SENDING,
                attempts=col(Message.attempts) + 1,
                attempted_on=volume,
                first_attempt_at=func.coalesce(col(Message.first_attempt_at), func.now()),
                next_attempt_at=None,
                updated_at=func.now(),
            )
            .returning(
                *(col(Message.id), col(Message.bot_key), col(Message.to_chat), col(Message.content)),
                *(col(Message.quote), col(Message.attempts), file_size.label("file_size")),
            )
        )
        async with self._database.session() as session:
            await self._fence(session)
            row = (await session.execute(statement, execution_options=_IN_PLACE)).one_or_none()
            await session.commit()
        if row is None:
            return None
        return QueuedMessage(
            id=row.id,
            bot_key=row.bot_key,
            chat=row.to_chat,
            content=row.content,
            quote=row.quote,
            attempts=row.attempts,
            file_size=row.file_size,
        )

    async def file(self, message_id: str, size: int) -> AsyncIterator[bytes]:
        """A message's file, piece by piece: no more than one piece is in memory, and no connection is held between."""
        for start in range(0, size, CHUNK_BYTES):
            piece = func.substring(col(MessageFile.data), start + 1, CHUNK_BYTES)
            query = select(piece).where(col(MessageFile.message_id) == message_id)
            async with self._database.session() as session:
                yield (await session.execute(query)).scalar_one()

    async def record(self, message: QueuedMessage, result: Next, sent: Sent | None) -> None:
        """Record the result of an attempt."""
        values: dict[str, Any] = {
            "state": result.state,
            "reason": storable(result.reason),
            "detail": storable(result.detail)[:500],
            "updated_at": func.now(),
        }
        match result.state:
            case MessageState.SENT if sent is not None:
                values |= {"whatsapp_id": storable(sent.whatsapp_id), "sent_at": func.now(), "attempted_on": None}
            case MessageState.FAILED:
                values |= {"failed_at": func.now(), "attempted_on": None}
            case _:
                values["next_attempt_at"] = func.clock_timestamp() + timedelta(seconds=result.delay_seconds)
                if result.state is MessageState.QUEUED:
                    values["attempted_on"] = None
        async with self._database.session() as session:
            await self._fence(session)
            if sent is not None:
                await receipts.lock(session, message.bot_key)
            changed = await session.execute(
                update(Message)
                .where(col(Message.id) == message.id, col(Message.state) == MessageState.SENDING)
                .values(**values),
                execution_options=_IN_PLACE,
            )
            if getattr(changed, "rowcount", 0) and result.state not in PENDING:
                await session.execute(delete(MessageFile).where(col(MessageFile.message_id) == message.id))
                if sent is not None:
                    await receipts.settle(session, message.bot_key, message.id, values["whatsapp_id"])
                    await session.execute(
                        update(BotStatus)
                        .where(col(BotStatus.bot_key) == message.bot_key)
                        .values(messages_sent=col(BotStatus.messages_sent) + 1)
                    )
            await session.commit()

    async def fail(self, failures: Sequence[tuple[Head, str]]) -> None:
        """Mark messages that can never be sent as failed."""
        async with self._database.session() as session:
            await self._fence(session)
            for head, reason in failures:
                await session.execute(
                    update(Message)
                    .where(col(Message.id) == head.id, col(Message.state).in_(PENDING))
                    .values(
                        state=MessageState.FAILED,
                        reason=reason,
                        detail=_SENTENCES.get(reason, ""),
                        failed_at=func.now(),
                        updated_at=func.now(),
                    ),
                    execution_options=_IN_PLACE,
                )
            ids = [head.id for head, _ in failures]
            await session.execute(delete(MessageFile).where(col(MessageFile.message_id).in_(ids)))
            await session.commit()

    async def hurry(self, bot_id: str) -> None:
        """The bot is online again: send what waited only for it now, not at the time of its next attempt."""
        async with self._database.session() as session:
            await self._fence(session)
            await session.execute(
                update(Message)
                .where(
                    col(Message.bot_key) == key_of(self._server, bot_id),
                    col(Message.state).in_(PENDING),
                    col(Message.next_attempt_at).is_not(None),
                    col(Message.reason) != RATE_LIMITED,
                )
                .values(next_attempt_at=None),
                execution_options=_IN_PLACE,
            )
            await session.commit()

    async def prune(self, *, days: int) -> int:
        """Delete messages finished so many days ago, and unclaimed early receipts, in short transactions.

        Returns how many rows were deleted.
        """
        values = {"server": self._server, "days": days, "limit": PRUNE_BATCH}
        deleted = 0
        for statement in (PRUNE_MESSAGES, PRUNE_RECEIPTS):
            number = PRUNE_BATCH
            while number == PRUNE_BATCH:
                async with self._database.session() as session:
                    await self._fence(session)
                    number = int(getattr(await session.execute(statement, values), "rowcount", 0))
                    await session.commit()
                deleted += number
        return deleted

    async def _fence(self, session: AsyncSession) -> None:
        await fence.hold(session, server=self._server, epoch=self._epoch)


_SENTENCES = {
    "expired": "the bot could not send it before it expired",
    "outcome-unknown": "it may have been sent: the bot's record of it is gone",
}
