"""The lease that lets one controller lead a server; the epoch moves there from `servers`."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("server_name", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["server_name"], ["servers.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("server_name"),
        # Makes the epoch a key column: a takeover waits for fenced writes (FOR KEY SHARE), a renewal does not.
        sa.UniqueConstraint("server_name", "epoch"),
    )
    # Expired, so that the first controller of this version takes over, with a higher epoch, at once.
    op.execute("INSERT INTO leases (server_name, owner, epoch, expires_at) SELECT name, '', epoch, now() FROM servers")
    op.drop_column("servers", "epoch")


def downgrade() -> None:
    op.add_column("servers", sa.Column("epoch", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.execute("UPDATE servers SET epoch = leases.epoch FROM leases WHERE leases.server_name = servers.name")
    op.drop_table("leases")
