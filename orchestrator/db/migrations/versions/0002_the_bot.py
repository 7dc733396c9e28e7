"""Outgoing messages, commands, groups; a generation for configurations, separate from specifications; counters."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_COUNTERS = ("messages_received", "messages_sent", "errors", "reconnections")


def _moment(name: str, *, now: bool = False) -> "sa.Column[Any]":
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.text("now()") if now else None, nullable=not now
    )


def upgrade() -> None:
    for name in _COUNTERS:
        op.add_column("bot_status", sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    _config_generation()
    op.create_table(
        "messages",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("server_name", sa.String(), nullable=False),
        sa.Column("bot_id", sa.Text(), nullable=False),
        sa.Column("direction", sa.String(), server_default="out", nullable=False),
        sa.Column("to_chat", sa.String(), nullable=False),
        sa.Column("content", postgresql.JSONB(), nullable=False),
        sa.Column("quote", postgresql.JSONB(), nullable=True),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        sa.Column("detail", sa.String(), server_default="", nullable=False),
        sa.Column("whatsapp_id", sa.String(), nullable=True),
        sa.Column("idempotency_key", sa.String(), nullable=True),
        sa.Column("request_hash", sa.String(), nullable=False),
        _moment("slot_at"),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempted_on", sa.String(), nullable=True),
        _moment("next_attempt_at"),
        _moment("created_at", now=True),
        _moment("updated_at", now=True),
        _moment("first_attempt_at"),
        _moment("sent_at"),
        _moment("delivered_at"),
        _moment("read_at"),
        _moment("failed_at"),
        sa.CheckConstraint(
            "state IN ('queued', 'sending', 'sent', 'delivered', 'read', 'failed')", name="messages_state"
        ),
        sa.ForeignKeyConstraint(["bot_id"], ["bots.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("bot_id", "idempotency_key"),
        sa.UniqueConstraint("seq"),
    )
    op.create_index("messages_bot_seq", "messages", ["bot_id", "seq"])
    op.create_index(
        "messages_pending",
        "messages",
        ["bot_id", "to_chat", "seq"],
        postgresql_where=sa.text("state IN ('queued', 'sending')"),
    )
    op.create_index("messages_slots", "messages", ["bot_id", "to_chat", "slot_at"])
    op.create_index("messages_whatsapp_id", "messages", ["bot_id", "whatsapp_id"])
    op.create_table(
        "message_files",
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["messages.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("message_id"),
    )
    op.create_table(
        "early_acks",
        sa.Column("bot_id", sa.Text(), nullable=False),
        sa.Column("whatsapp_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        _moment("delivered_at"),
        _moment("read_at"),
        _moment("created_at", now=True),
        sa.ForeignKeyConstraint(["bot_id"], ["bots.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("bot_id", "whatsapp_id"),
    )
    op.create_table(
        "commands",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("server_name", sa.String(), nullable=True),
        sa.Column("bot_id", sa.Text(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("response", sa.String(), nullable=True),
        sa.Column("webhook", sa.String(), nullable=True),
        _moment("created_at", now=True),
        _moment("updated_at", now=True),
        sa.CheckConstraint("bot_id IS NULL OR server_name IS NOT NULL", name="commands_scope"),
        sa.CheckConstraint("(response IS NULL) <> (webhook IS NULL)", name="commands_answer"),
        sa.ForeignKeyConstraint(["server_name"], ["servers.name"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["bot_id"], ["bots.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "commands_global_name",
        "commands",
        ["name"],
        unique=True,
        postgresql_where=sa.text("server_name IS NULL AND bot_id IS NULL"),
    )
    op.create_index(
        "commands_server_name",
        "commands",
        ["server_name", "name"],
        unique=True,
        postgresql_where=sa.text("bot_id IS NULL"),
    )
    op.create_index("commands_bot_name", "commands", ["bot_id", "name"], unique=True)
    op.create_table(
        "groups",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("bot_id", sa.Text(), nullable=False),
        sa.Column("server_name", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("members", postgresql.JSONB(), nullable=False),
        _moment("created_at"),
        _moment("updated_at", now=True),
        sa.ForeignKeyConstraint(["bot_id"], ["bots.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("bot_id", "id"),
    )
    op.create_index("groups_server", "groups", ["server_name"])
    _triggers()


def _config_generation() -> None:
    # Above all generations that runtimes were given so far: they refuse a configuration that is older than theirs.
    op.execute(
        """
        CREATE SEQUENCE botdock_config_generation;
        SELECT setval('botdock_config_generation', greatest(1, (SELECT max(generation) FROM bots)));
        """
    )
    op.add_column(
        "bots",
        sa.Column(
            "config_generation",
            sa.BigInteger(),
            server_default=sa.text("nextval('botdock_config_generation')"),
            nullable=False,
        ),
    )
    op.execute(
        """
        CREATE FUNCTION botdock_bot_config_changed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF (NEW.name, NEW.settings, NEW.config_generation)
               IS DISTINCT FROM (OLD.name, OLD.settings, OLD.config_generation)
            THEN
                -- Taken here, with the row locked: a later number is a later configuration.
                NEW.config_generation := nextval('botdock_config_generation');
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER bots_config_changed BEFORE UPDATE ON bots
            FOR EACH ROW EXECUTE FUNCTION botdock_bot_config_changed();
        """
    )


def _triggers() -> None:
    op.execute(
        """
        -- Images and audio are already compressed.
        ALTER TABLE message_files ALTER COLUMN data SET STORAGE EXTERNAL;

        CREATE FUNCTION botdock_message_queued() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('botdock_messages', NEW.server_name || '/' || NEW.bot_id);
            RETURN NULL;
        END $$;
        CREATE TRIGGER messages_queued AFTER INSERT ON messages
            FOR EACH ROW WHEN (NEW.state = 'queued') EXECUTE FUNCTION botdock_message_queued();

        CREATE FUNCTION botdock_command_changed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            -- One at a time: two changes that concern many bots must not wait for each other's rows.
            PERFORM pg_advisory_xact_lock(hashtextextended('botdock commands', 0));
            IF TG_OP <> 'INSERT' THEN
                UPDATE bots SET config_generation = config_generation + 1
                WHERE (OLD.server_name IS NULL OR server_name = OLD.server_name)
                  AND (OLD.bot_id IS NULL OR id = OLD.bot_id);
            END IF;
            IF TG_OP <> 'DELETE' THEN
                UPDATE bots SET config_generation = config_generation + 1
                WHERE (NEW.server_name IS NULL OR server_name = NEW.server_name)
                  AND (NEW.bot_id IS NULL OR id = NEW.bot_id);
            END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER commands_changed AFTER INSERT OR UPDATE OR DELETE ON commands
            FOR EACH ROW EXECUTE FUNCTION botdock_command_changed();
        """
    )


def downgrade() -> None:
    op.drop_table("groups")
    op.drop_table("commands")
    op.drop_table("early_acks")
    op.drop_table("message_files")
    op.drop_table("messages")
    op.execute(
        """
        DROP TRIGGER bots_config_changed ON bots;
        DROP FUNCTION botdock_bot_config_changed;
        DROP FUNCTION botdock_command_changed;
        DROP FUNCTION botdock_message_queued;
        """
    )
    op.drop_column("bots", "config_generation")
    op.execute("DROP SEQUENCE botdock_config_generation")
    for name in _COUNTERS:
        op.drop_column("bot_status", name)
