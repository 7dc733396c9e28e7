"""The tables of outgoing messages, commands and groups.

A message goes through queued → sending → sent → delivered → read, or failed with a reason. `sending` means that the bot
may have been asked and the outcome is unknown: such a message is requested again under the same id until it is known.

Triggers (see the second migration) notify `botdock_messages` (payload `{server}/{bot}`) of new messages, and increase
the `config_generation` of the affected bots when commands change.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from orchestrator.db.columns import created, timestamp
from orchestrator.db.models import BotKey
from orchestrator.states import MessageState

_WHERE_PENDING = text("state IN ('queued', 'sending')")
_WHERE_FINISHED = text("state NOT IN ('queued', 'sending')")


def _fk_bot() -> Any:
    return Column(Text, ForeignKey("bots.key", ondelete="CASCADE"), nullable=False)


class Message(SQLModel, table=True):
    """One outgoing message and its delivery state."""

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("bot_key", "idempotency_key"),
        UniqueConstraint("seq"),
        Index("messages_bot_seq", "bot_key", "seq"),
        Index("messages_pending", "bot_key", "to_chat", "seq", postgresql_where=_WHERE_PENDING),
        Index("messages_due", "bot_key", text("next_attempt_at NULLS FIRST"), "seq", postgresql_where=_WHERE_PENDING),
        Index("messages_finished", "server_name", "updated_at", postgresql_where=_WHERE_FINISHED),
        Index("messages_slots", "bot_key", "to_chat", "slot_at"),
        Index("messages_whatsapp_id", "bot_key", "whatsapp_id"),
        CheckConstraint("state IN ('queued', 'sending', 'sent', 'delivered', 'read', 'failed')", name="messages_state"),
    )

    id: str = Field(primary_key=True)
    """Also the client id under which the bot sends it only once."""
    seq: int = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), nullable=False))
    """The order of sending within a chat."""
    server_name: str
    bot_key: BotKey = Field(sa_column=_fk_bot())
    to_chat: str
    """The chat's id in the canonical form of `bot_runtime`."""
    content: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    """A `Content` of the contract with its `type`."""
    quote: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True))
    state: str = Field(
        default=MessageState.QUEUED, sa_column=Column(Text, nullable=False, server_default=MessageState.QUEUED)
    )
    reason: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """Stable code: why it failed, why it waits, or what is uncertain."""
    detail: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """A sentence that explains the reason."""
    whatsapp_id: str | None = None
    idempotency_key: str | None = None
    request_hash: str
    """Of recipient, content, quote and file: identifies a repetition of the same call."""
    slot_at: datetime | None = timestamp()
    """When the rate limit permits it; None: no longer counted (cancelled)."""
    attempts: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    attempted_on: str | None = None
    """Spool id of the volume of the bot that was asked, while the outcome is unknown: only it has the record."""
    next_attempt_at: datetime | None = timestamp()
    created_at: datetime = created()
    updated_at: datetime = created()
    first_attempt_at: datetime | None = timestamp()
    sent_at: datetime | None = timestamp()
    delivered_at: datetime | None = timestamp()
    read_at: datetime | None = timestamp()
    failed_at: datetime | None = timestamp()


class MessageFile(SQLModel, table=True):
    """The file of a pending message."""

    __tablename__ = "message_files"

    message_id: str = Field(
        sa_column=Column(Text, ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True, nullable=False)
    )
    size: int
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class EarlyReceipt(SQLModel, table=True):
    """A receipt that arrived before the answer with WhatsApp's id of its message."""

    __tablename__ = "early_acks"
    __table_args__ = (PrimaryKeyConstraint("bot_key", "whatsapp_id"), Index("early_acks_created_at", "created_at"))

    bot_key: BotKey = Field(sa_column=_fk_bot())
    whatsapp_id: str
    state: str
    delivered_at: datetime | None = timestamp()
    read_at: datetime | None = timestamp()
    created_at: datetime = created()


class StoredCommand(SQLModel, table=True):
    """A custom command of one bot, of all bots of a server, or of all bots."""

    __tablename__ = "commands"
    __table_args__ = (
        Index(
            "commands_global_name",
            "name",
            unique=True,
            postgresql_where=text("server_name IS NULL AND bot_key IS NULL"),
        ),
        Index("commands_server_name", "server_name", "name", unique=True, postgresql_where=text("bot_key IS NULL")),
        Index("commands_bot_name", "bot_key", "name", unique=True),
        CheckConstraint("bot_key IS NULL OR server_name IS NOT NULL", name="commands_scope"),
        CheckConstraint("(response IS NULL) <> (webhook IS NULL)", name="commands_answer"),
    )

    id: str = Field(primary_key=True)
    server_name: str | None = Field(default=None, foreign_key="servers.name", ondelete="CASCADE")
    """None: a global command."""
    bot_key: BotKey | None = Field(
        default=None, sa_column=Column(Text, ForeignKey("bots.key", ondelete="CASCADE"), nullable=True)
    )
    name: str
    response: str | None = None
    webhook: str | None = None
    created_at: datetime = created()
    updated_at: datetime = created()


class StoredGroup(SQLModel, table=True):
    """A group that a bot's account is in, as the bot reported it."""

    __tablename__ = "groups"
    __table_args__ = (PrimaryKeyConstraint("bot_key", "id"), Index("groups_server", "server_name"))

    id: str
    """`…@g.us`"""
    bot_key: BotKey = Field(sa_column=_fk_bot())
    server_name: str
    subject: str
    description: str
    owner: str | None = None
    created_at: datetime | None = timestamp()
    """When it was created in WhatsApp."""
    updated_at: datetime = created()
    """When the bot reported the last change of the group or its members."""


class StoredMember(SQLModel, table=True):
    """A member of a bot's group."""

    __tablename__ = "group_members"
    __table_args__ = (
        PrimaryKeyConstraint("bot_key", "group_id", "id"),
        ForeignKeyConstraint(["bot_key", "group_id"], ["groups.bot_key", "groups.id"], ondelete="CASCADE"),
    )

    bot_key: BotKey = Field(sa_type=String)
    group_id: str
    id: str = Field(sa_column=Column(Text(collation="C"), nullable=False))
    """`…@lid` or `…@s.whatsapp.net`, in the order of its bytes, which the ranges of the bot's reports refer to."""
    phone_number: str | None = None
    admin: bool
