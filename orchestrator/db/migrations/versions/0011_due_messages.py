"""Find the messages that have waited longest without reading one of each chat."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "messages_due",
        "messages",
        ["bot_id", sa.text("next_attempt_at NULLS FIRST"), "seq"],
        postgresql_where=sa.text("state IN ('queued', 'sending')"),
    )


def downgrade() -> None:
    op.drop_index("messages_due", table_name="messages")
