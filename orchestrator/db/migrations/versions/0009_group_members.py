"""Store the members of groups in a table of their own, so that a change writes only what has changed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "group_members",
        sa.Column("bot_id", sa.String(), nullable=False),
        sa.Column("group_id", sa.String(), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("phone_number", sa.String(), nullable=True),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["bot_id", "group_id"], ["groups.bot_id", "groups.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("bot_id", "group_id", "id"),
    )
    op.execute(
        """
        INSERT INTO group_members (bot_id, group_id, id, phone_number, admin)
        SELECT bot_id, groups.id, member ->> 'id', member ->> 'phoneNumber', (member ->> 'admin')::boolean
        FROM groups, jsonb_array_elements(members) AS member
        ON CONFLICT DO NOTHING
        """
    )
    op.drop_column("groups", "members")


def downgrade() -> None:
    op.add_column(
        "groups", sa.Column("members", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False)
    )
    op.execute(
        """
        UPDATE groups SET members = found.members
        FROM (
            SELECT bot_id, group_id,
                jsonb_agg(
                    jsonb_build_object('id', id, 'phoneNumber', phone_number, 'admin', admin) ORDER BY id
                ) AS members
            FROM group_members GROUP BY bot_id, group_id
        ) AS found
        WHERE groups.bot_id = found.bot_id AND groups.id = found.group_id
        """
    )
    op.alter_column("groups", "members", server_default=None)
    op.drop_table("group_members")
