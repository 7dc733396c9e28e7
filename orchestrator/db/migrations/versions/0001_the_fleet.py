"""The first tables: installation, servers, keys, bots, their status and their events."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "installation",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "servers",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("max_bots", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("controller", sa.String(), nullable=True),
        sa.Column("controller_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("server_name", sa.String(), nullable=True),
        sa.Column("key_hash", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["server_name"],
            ["servers.name"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key_hash"),
    )
    op.create_table(
        "bots",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("server_name", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("phone_number", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), server_default="standard", nullable=False),
        sa.Column("approval_status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("desired_state", sa.Text(), server_default="running", nullable=False),
        sa.Column(
            "settings", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column(
            "limits", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("generation", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("restart_generation", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("session_generation", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "runtime_token",
            sa.String(),
            server_default=sa.text("replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')"),
            nullable=False,
        ),
        sa.Column("deleting", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_name"],
            ["servers.name"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("bots_server_id", "bots", ["server_name", "id"], unique=False)
    op.create_table(
        "bot_events",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("server_name", sa.String(), nullable=False),
        sa.Column("bot_id", sa.String(), nullable=False),
        sa.Column("spool_id", sa.String(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column(
            "data", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["bot_id"], ["bots.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("bot_id", "spool_id", "seq"),
    )
    op.create_index("bot_events_bot_id_id", "bot_events", ["bot_id", "id"], unique=False)
    op.create_index(op.f("ix_bot_events_timestamp"), "bot_events", ["timestamp"], unique=False)
    op.create_table(
        "bot_status",
        sa.Column("bot_id", sa.String(), nullable=False),
        sa.Column("server_name", sa.String(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("phase", sa.Text(), server_default="pending", nullable=False),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        sa.Column("message", sa.String(), server_default="", nullable=False),
        sa.Column("container_id", sa.String(), nullable=True),
        sa.Column("container_name", sa.String(), nullable=True),
        sa.Column("container_state", sa.String(), nullable=True),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("healthy", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("connection", sa.String(), nullable=True),
        sa.Column("paired_number", sa.String(), nullable=True),
        sa.Column("restarts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_exit", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "memory",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("observed_generation", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("connection_attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("event_history_size", sa.Integer(), server_default="0", nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("connected_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_heartbeat", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_activity", sa.DateTime(timezone=True), nullable=True),
        sa.Column("creds_updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_start_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("spool_id", sa.String(), nullable=True),
        sa.Column("spool_seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["bot_id"], ["bots.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("bot_id"),
    )
    op.create_index(op.f("ix_bot_status_server_name"), "bot_status", ["server_name"], unique=False)

    op.execute(
        """
        ALTER TABLE bots
            ADD CONSTRAINT bots_id_form CHECK (id ~ '^[a-z0-9][a-z0-9-]{0,47}$'),
            ADD CONSTRAINT bots_approval CHECK (approval_status IN ('pending', 'approved', 'rejected')),
            ADD CONSTRAINT bots_desired CHECK (desired_state IN ('running', 'stopped'));

        CREATE FUNCTION botdock_bot_spec_changed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.updated_at := now();
            IF NEW.generation = OLD.generation
               AND (NEW.name, NEW.phone_number, NEW.kind, NEW.approval_status, NEW.desired_state, NEW.settings,
                    NEW.limits, NEW.restart_generation, NEW.session_generation, NEW.deleting)
                   IS DISTINCT FROM
                   (OLD.name, OLD.phone_number, OLD.kind, OLD.approval_status, OLD.desired_state, OLD.settings,
                    OLD.limits, OLD.restart_generation, OLD.session_generation, OLD.deleting)
            THEN
                NEW.generation := OLD.generation + 1;
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER bots_spec_changed BEFORE UPDATE ON bots
            FOR EACH ROW EXECUTE FUNCTION botdock_bot_spec_changed();

        CREATE FUNCTION botdock_bot_changed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'INSERT' THEN
                INSERT INTO bot_status (bot_id, server_name) VALUES (NEW.id, NEW.server_name);
            END IF;
            IF TG_OP = 'DELETE' THEN
                PERFORM pg_notify('botdock_bots', OLD.server_name || '/' || OLD.id);
            ELSE
                PERFORM pg_notify('botdock_bots', NEW.server_name || '/' || NEW.id);
            END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER bots_changed AFTER INSERT OR UPDATE OR DELETE ON bots
            FOR EACH ROW EXECUTE FUNCTION botdock_bot_changed();
        """
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_bot_status_server_name"), table_name="bot_status")
    op.drop_table("bot_status")
    op.drop_index(op.f("ix_bot_events_timestamp"), table_name="bot_events")
    op.drop_index("bot_events_bot_id_id", table_name="bot_events")
    op.drop_table("bot_events")
    op.drop_index("bots_server_id", table_name="bots")
    op.drop_table("bots")
    op.drop_table("api_keys")
    op.drop_table("servers")
    op.drop_table("installation")
    op.execute("DROP FUNCTION botdock_bot_changed; DROP FUNCTION botdock_bot_spec_changed")
