"""Store who recorded an event: the bot, or the orchestrator."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Not nullable and with a constant, so that no row is written.
    op.add_column("bot_events", sa.Column("source", sa.Text(), server_default="bot", nullable=False))
    # Earlier versions refused no spool id, but no runtime of Botdock had one like these.
    op.execute(
        """
        UPDATE bot_events SET source = 'orchestrator'
        WHERE type IN ('phase-change', 'container-start', 'container-exit', 'container-oom')
            AND (spool_id IS NULL OR spool_id LIKE 'controller-%')
        """
    )


def downgrade() -> None:
    op.drop_column("bot_events", "source")
