"""Let ids of bots be unique per server only: what was the id becomes an internal key, and the id a column of its own.

Only `bots` is rewritten. In all other tables the column that refers to a bot is renamed, and its values stay: the key
of an existing bot is its id. New bots get keys that no id can equal.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLES = ("bot_status", "bot_events", "messages", "early_acks", "commands", "groups", "group_members")
ID_FORM = "CONSTRAINT bots_id_form CHECK (id ~ '^[a-z0-9][a-z0-9-]{0,47}$')"
REFERENCES = {
    **{table: ("bot_id", "bots (id)") for table in TABLES if table != "group_members"},
    "group_members": ("bot_id, group_id", "groups (bot_id, id)"),
}
FUNCTIONS = """
    CREATE OR REPLACE FUNCTION botdock_bot_changed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            INSERT INTO bot_status ({reference}, server_name) VALUES (NEW.{key}, NEW.server_name);
        END IF;
        IF TG_OP = 'DELETE' THEN
            PERFORM pg_notify('botdock_bots', OLD.server_name || '/' || OLD.id);
        ELSE
            PERFORM pg_notify('botdock_bots', NEW.server_name || '/' || NEW.id);
        END IF;
        RETURN NULL;
    END $$;
    CREATE OR REPLACE FUNCTION botdock_message_queued() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify('botdock_messages', NEW.server_name || '/' || id) FROM bots WHERE {key} = NEW.{reference};
        RETURN NULL;
    END $$;
    CREATE OR REPLACE FUNCTION botdock_command_changed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        -- One at a time: two changes that concern many bots must not wait for each other's rows.
        PERFORM pg_advisory_xact_lock(hashtextextended('botdock commands', 0));
        IF TG_OP <> 'INSERT' THEN
            UPDATE bots SET config_generation = config_generation + 1
            WHERE (OLD.server_name IS NULL OR server_name = OLD.server_name)
              AND (OLD.{reference} IS NULL OR {key} = OLD.{reference});
        END IF;
        IF TG_OP <> 'DELETE' THEN
            UPDATE bots SET config_generation = config_generation + 1
            WHERE (NEW.server_name IS NULL OR server_name = NEW.server_name)
              AND (NEW.{reference} IS NULL OR {key} = NEW.{reference});
        END IF;
        RETURN NULL;
    END $$;
"""


def upgrade() -> None:
    op.execute(f"LOCK TABLE bots, {', '.join(TABLES)} IN ACCESS EXCLUSIVE MODE")
    op.execute(
        f"""
        ALTER TABLE bots DROP CONSTRAINT bots_id_form;
        DROP INDEX bots_server_id;
        ALTER TABLE bots RENAME COLUMN id TO key;
        CREATE SEQUENCE botdock_bot_key OWNED BY bots.key;
        ALTER TABLE bots ALTER COLUMN key SET DEFAULT '#' || nextval('botdock_bot_key');
        -- Copied without an UPDATE, which would notify the controllers of every bot.
        ALTER TABLE bots ADD COLUMN id varchar NOT NULL GENERATED ALWAYS AS (key) STORED;
        ALTER TABLE bots ADD COLUMN resource_name varchar NOT NULL
            GENERATED ALWAYS AS ('botdock-' || server_name || '-' || key) STORED;
        ALTER TABLE bots ALTER COLUMN id DROP EXPRESSION, ALTER COLUMN resource_name DROP EXPRESSION;
        ALTER TABLE bots ADD {ID_FORM}, ADD CONSTRAINT bots_server_id UNIQUE (server_name, id);
        CREATE INDEX bots_id_server ON bots (id, server_name);

        CREATE FUNCTION botdock_bot_created() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            -- Names of servers and ids may both contain hyphens; a dot keeps `a-b` and `c` apart from `a` and `b-c`.
            NEW.resource_name := 'botdock-' || NEW.server_name
                || CASE WHEN position('-' IN NEW.server_name) > 0 THEN '.' ELSE '-' END || NEW.id;
            RETURN NEW;
        END $$;
        CREATE TRIGGER bots_created BEFORE INSERT ON bots
            FOR EACH ROW WHEN (NEW.resource_name IS NULL) EXECUTE FUNCTION botdock_bot_created();

        CREATE FUNCTION botdock_bot_id_changed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'the id of a bot cannot be changed: container and volume are named after it';
        END $$;
        CREATE TRIGGER bots_id_changed BEFORE UPDATE OF id ON bots
            FOR EACH ROW WHEN (NEW.id <> OLD.id) EXECUTE FUNCTION botdock_bot_id_changed();
        """
    )
    for table in TABLES:
        op.alter_column(table, "bot_id", new_column_name="bot_key")
    op.execute("ALTER INDEX bot_events_bot_id_id RENAME TO bot_events_bot_key_id")
    op.execute(FUNCTIONS.format(key="key", reference="bot_key"))


def downgrade() -> None:
    op.execute(
        """
        DO $$ BEGIN
            IF EXISTS (SELECT FROM bots GROUP BY id HAVING count(*) > 1) THEN
                RAISE EXCEPTION 'bots of several servers have the same id: delete all but one of them first';
            END IF;
        END $$
        """
    )
    op.execute("ALTER INDEX bot_events_bot_key_id RENAME TO bot_events_bot_id_id")
    for table, (columns, _) in REFERENCES.items():
        op.alter_column(table, "bot_key", new_column_name="bot_id")
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_{columns.replace(', ', '_')}_fkey")
    op.execute(FUNCTIONS.format(key="key", reference="bot_id"))
    for table in TABLES:
        op.execute(
            f"UPDATE {table} SET bot_id = bots.id FROM bots "  # noqa: S608 - constants
            f"WHERE {table}.bot_id = bots.key AND bots.key <> bots.id"
        )
    op.execute(
        f"""
        UPDATE bots SET key = id WHERE key <> id;
        DROP TRIGGER bots_id_changed ON bots;
        DROP FUNCTION botdock_bot_id_changed;
        DROP TRIGGER bots_created ON bots;
        DROP FUNCTION botdock_bot_created;
        ALTER TABLE bots DROP COLUMN id, DROP COLUMN resource_name;
        ALTER TABLE bots ALTER COLUMN key DROP DEFAULT;
        ALTER TABLE bots RENAME COLUMN key TO id;
        ALTER TABLE bots ADD {ID_FORM};
        DROP SEQUENCE botdock_bot_key;
        CREATE INDEX bots_server_id ON bots (server_name, id);
        """  # noqa: S608 - constants
    )
    for table, (columns, target) in REFERENCES.items():
        op.execute(f"ALTER TABLE {table} ADD FOREIGN KEY ({columns}) REFERENCES {target} ON DELETE CASCADE")
    op.execute(FUNCTIONS.format(key="id", reference="bot_id"))
