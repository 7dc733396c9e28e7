"""Bind a server to the engine that holds its bots' sessions."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # NULL: the next leader binds the server to its engine.
    op.add_column("servers", sa.Column("engine_id", sa.String(), nullable=True))
    op.add_column("servers", sa.Column("refused_engine_id", sa.String(), nullable=True))
    op.add_column("servers", sa.Column("refused_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("servers", "refused_at")
    op.drop_column("servers", "refused_engine_id")
    op.drop_column("servers", "engine_id")
