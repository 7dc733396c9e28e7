"""Drop `messages.direction`: every row is an outgoing message, and nothing read the column.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("messages", "direction")


def downgrade() -> None:
    op.add_column("messages", sa.Column("direction", sa.String(), server_default="out", nullable=False))
