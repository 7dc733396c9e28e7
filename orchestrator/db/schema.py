"""The schema revision of the database, and the one that this code needs."""

import asyncio
import logging
from functools import cache
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.db.session import Database, is_unavailable, reason

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
POLL_SECONDS = 0.5


@cache
def needed_revision() -> str:
    """The revision that this code was written for: the last file in `migrations/versions`."""
    return max(path.name.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


async def present_revision(session: AsyncSession) -> str | None:
    """The database's revision; None if it was never migrated."""
    try:
        return str((await session.execute(text("SELECT version_num FROM alembic_version"))).scalar_one())
    except ProgrammingError:
        return None


async def wait_until_migrated(database: Database) -> None:
    """Return once the database answers and has the revision that this code needs; logs what is missing meanwhile."""
    logged = ""
    while True:
        try:
            async with database.session() as session:
                present = await present_revision(session)
            if present == needed_revision():
                return
            missing = f"the database is at revision {present}, this version needs {needed_revision()}: run `migrate`"
        except (DBAPIError, OSError) as exc:
            if not is_unavailable(exc):
                raise
            missing = f"Postgres is unavailable (check DATABASE_URL): {reason(exc)}"
        if missing != logged:
            log.warning("waiting: %s", missing)
            logged = missing
        await asyncio.sleep(POLL_SECONDS)
