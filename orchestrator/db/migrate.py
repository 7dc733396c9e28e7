"""Migrates the database to the current revision, and creates the rows that every installation needs.

Idempotent, and safe to run from several processes at once (an advisory lock admits one).
"""

import logging
import uuid
from dataclasses import dataclass

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from orchestrator.db.keys import hash_key, new_key
from orchestrator.db.schema import MIGRATIONS
from orchestrator.db.session import reason
from orchestrator.errors import UnavailableError
from orchestrator.settings import Settings
from orchestrator.states import Role

log = logging.getLogger(__name__)

WAIT_SECONDS = 30
RETRY_SECONDS = 0.5
LOCK_ID = 0x626F7464  # "botd"


@dataclass(frozen=True, slots=True)
class MigrationResult:
    """The result of a migration."""

    revision: str
    installation: str
    first_key: str | None
    """The first admin key, on the first migration only: shown once, not stored."""


def migrate_when_reachable(settings: Settings) -> MigrationResult:
    """`migrate` as soon as Postgres answers. Raises UnavailableError if it does not within 30 seconds."""
    attempts = Retrying(
        retry=retry_if_exception_type(OperationalError),
        wait=wait_fixed(RETRY_SECONDS),
        stop=stop_after_delay(WAIT_SECONDS),
        before_sleep=_log_reason,
        reraise=True,
    )
    try:
        return attempts(migrate, settings)
    except OperationalError as exc:
        raise UnavailableError(f"Postgres is unavailable (check DATABASE_URL): {reason(exc)}") from exc


def _log_reason(state: RetryCallState) -> None:
    if state.attempt_number == 1 and state.outcome is not None and (exc := state.outcome.exception()) is not None:
        log.info("waiting up to %s s for Postgres: %s", WAIT_SECONDS, reason(exc))


def migrate(settings: Settings) -> MigrationResult:
    """Run all migrations, then create the installation, this process's server and the first admin key if missing."""
    engine = create_engine(settings.sqlalchemy_url, connect_args={"connect_timeout": 5})
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": LOCK_ID})
            command.upgrade(config(connection), "head")
            revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
            return MigrationResult(revision, _installation(connection), _first_rows(connection, settings))
    finally:
        engine.dispose()


def config(connection: Connection) -> Config:
    """Alembic's configuration for one connection, without a configuration file."""
    result = Config(attributes={"connection": connection})
    result.set_main_option("script_location", str(MIGRATIONS))
    return result


def _installation(connection: Connection) -> str:
    connection.execute(
        text("INSERT INTO installation (id) SELECT :id WHERE NOT EXISTS (SELECT FROM installation)"),
        {"id": uuid.uuid4().hex[:12]},
    )
    return str(connection.execute(text("SELECT id FROM installation")).scalar_one())


def _first_rows(connection: Connection, settings: Settings) -> str | None:
    connection.execute(
        text("INSERT INTO servers (name, max_bots) VALUES (:name, :max_bots) ON CONFLICT DO NOTHING"),
        {"name": settings.server_name, "max_bots": settings.botcount},
    )
    if connection.execute(text("SELECT EXISTS (SELECT FROM api_keys)")).scalar_one():
        return None
    key_id, key = new_key()
    connection.execute(
        text("INSERT INTO api_keys (id, name, role, key_hash) VALUES (:id, 'first admin', :role, :hash)"),
        {"id": key_id, "role": Role.ADMIN, "hash": hash_key(key)},
    )
    return key
