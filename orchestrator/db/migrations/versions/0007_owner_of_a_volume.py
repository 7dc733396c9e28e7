"""Tell the owner and the session of a volume apart from those of an earlier bot with the same id."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TRIGGER = """
    CREATE OR REPLACE FUNCTION botdock_bot_spec_changed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.updated_at := now();
        {session}
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
    END $$
"""
_SESSION = """
        IF NEW.session_generation > OLD.session_generation THEN
            NEW.session_since := greatest(clock_timestamp(), OLD.session_since + interval '1 microsecond');
        END IF;
"""


def upgrade() -> None:
    # Existing volumes have no label for the bot, which is what an empty uid stands for.
    op.add_column("bots", sa.Column("uid", sa.String(), nullable=False, server_default=""))
    op.alter_column("bots", "uid", server_default=sa.text("gen_random_uuid()::text"))
    op.add_column(
        "bots",
        sa.Column("session_since", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
    )
    op.execute(_TRIGGER.format(session=_SESSION))


def downgrade() -> None:
    op.execute(_TRIGGER.format(session=""))
    op.drop_column("bots", "session_since")
    op.drop_column("bots", "uid")
