"""Partition the events by time, so that expired ones are dropped instead of deleted row by row.

The old table becomes the oldest partition: nothing is copied but the events that are dated tomorrow or later.
"""

from datetime import datetime, timedelta

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

DAYS_AHEAD = 3
COLUMNS = "id, server_name, bot_id, spool_id, seq, type, data, timestamp"


def upgrade() -> None:
    op.add_column("servers", sa.Column("event_retention_days", sa.Integer(), nullable=True))
    connection = op.get_bind()
    today: datetime = connection.scalar(sa.text("SELECT date_trunc('day', now() AT TIME ZONE 'UTC')"))
    op.execute("LOCK TABLE bot_events IN ACCESS EXCLUSIVE MODE")
    has_events = connection.scalar(sa.text("SELECT EXISTS (SELECT FROM bot_events)"))
    tomorrow = today + timedelta(days=1)
    old = f"bot_events_before_{tomorrow:%Y%m%d}"
    op.execute(
        f"""
        ALTER TABLE bot_events RENAME TO {old};
        ALTER TABLE {old} DROP CONSTRAINT bot_events_pkey, DROP CONSTRAINT bot_events_bot_id_spool_id_seq_key;
        ALTER INDEX bot_events_bot_id_id RENAME TO {old}_bot_id_id_idx;
        ALTER INDEX ix_bot_events_timestamp RENAME TO {old}_timestamp_idx;
        """
    )
    _create_partitioned()
    op.execute("ALTER SEQUENCE bot_events_id_seq OWNED BY bot_events.id")
    op.execute("CREATE TABLE bot_events_default PARTITION OF bot_events DEFAULT")
    for day in (today + timedelta(days=number) for number in range(1 if has_events else 0, DAYS_AHEAD + 1)):
        op.execute(
            f"CREATE TABLE bot_events_{day:%Y%m%d} PARTITION OF bot_events "
            f"FOR VALUES FROM ('{day:%Y-%m-%d} 00:00+00') TO ('{day + timedelta(days=1):%Y-%m-%d} 00:00+00')"
        )
    if not has_events:
        op.drop_table(old)
        return
    bound = f"'{tomorrow:%Y-%m-%d} 00:00+00'"
    moved = f"WITH moved AS (DELETE FROM {old} WHERE timestamp >= {bound} RETURNING {COLUMNS})"  # noqa: S608 - no input
    op.execute(f"{moved} INSERT INTO bot_events ({COLUMNS}) SELECT {COLUMNS} FROM moved")  # noqa: S608 - no input
    # Builds the two unique indexes, which include the timestamp now; the other two are adopted.
    op.execute(f"ALTER TABLE bot_events ATTACH PARTITION {old} FOR VALUES FROM (MINVALUE) TO ({bound})")


def _create_partitioned() -> None:
    op.create_table(
        "bot_events",
        sa.Column(
            "id", sa.BigInteger(), server_default=sa.text("nextval('bot_events_id_seq'::regclass)"), nullable=False
        ),
        sa.Column("server_name", sa.String(), nullable=False),
        sa.Column("bot_id", sa.String(), nullable=False),
        sa.Column("spool_id", sa.String(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column(
            "data", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["bot_id"], ["bots.id"], ondelete="CASCADE", name="bot_events_bot_id_fkey"),
        sa.PrimaryKeyConstraint("id", "timestamp", name="bot_events_pkey"),
        sa.UniqueConstraint(
            "bot_id", "spool_id", "seq", "timestamp", name="bot_events_bot_id_spool_id_seq_timestamp_key"
        ),
        postgresql_partition_by="RANGE (timestamp)",
    )
    op.create_index("bot_events_bot_id_id", "bot_events", ["bot_id", "id"])
    op.create_index("ix_bot_events_timestamp", "bot_events", ["timestamp"])


def downgrade() -> None:
    op.execute(
        f"""
        CREATE TABLE unpartitioned (LIKE bot_events INCLUDING DEFAULTS);
        INSERT INTO unpartitioned ({COLUMNS}) SELECT {COLUMNS} FROM bot_events;
        ALTER SEQUENCE bot_events_id_seq OWNED BY unpartitioned.id;
        DROP TABLE bot_events;
        ALTER TABLE unpartitioned RENAME TO bot_events;
        ALTER TABLE bot_events
            ADD CONSTRAINT bot_events_pkey PRIMARY KEY (id),
            ADD CONSTRAINT bot_events_bot_id_spool_id_seq_key UNIQUE (bot_id, spool_id, seq),
            ADD CONSTRAINT bot_events_bot_id_fkey FOREIGN KEY (bot_id) REFERENCES bots (id) ON DELETE CASCADE;
        CREATE INDEX bot_events_bot_id_id ON bot_events (bot_id, id);
        CREATE INDEX ix_bot_events_timestamp ON bot_events (timestamp);
        """  # noqa: S608 - constants
    )
    op.drop_column("servers", "event_retention_days")
