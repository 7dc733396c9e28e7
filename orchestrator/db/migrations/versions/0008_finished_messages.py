"""Find what is old enough to be deleted without reading all messages and receipts."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "messages_finished",
        "messages",
        ["server_name", "updated_at"],
        postgresql_where=sa.text("state NOT IN ('queued', 'sending')"),
    )
    op.create_index("early_acks_created_at", "early_acks", ["created_at"])


def downgrade() -> None:
    op.drop_index("early_acks_created_at", table_name="early_acks")
    op.drop_index("messages_finished", table_name="messages")
