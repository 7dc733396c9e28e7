"""What the commands share: the database, the engine, a confirmation."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from orchestrator.db.schema import wait_until_migrated
from orchestrator.db.session import Connection, Database, connect
from orchestrator.engine.base import Engine, EngineError
from orchestrator.engine.factory import make_engine
from orchestrator.errors import ConflictError, UnavailableError
from orchestrator.reconcile.status_store import installation_id
from orchestrator.settings import Settings

DATABASE_WAIT_SECONDS = 30


@asynccontextmanager
async def migrated_database(settings: Settings) -> AsyncIterator[Database]:
    """The database, once it is migrated; for short work, which has to end in time, too. Raises UnavailableError."""
    database = Database(settings)
    try:
        async with asyncio.timeout(DATABASE_WAIT_SECONDS):
            await wait_until_migrated(database)
            yield database
    except TimeoutError:
        raise UnavailableError(
            "no migrated database is available: check DATABASE_URL, and run `migrate` first"
        ) from None
    finally:
        await database.close()


@asynccontextmanager
async def reach(settings: Settings) -> AsyncIterator[tuple[Connection, Engine]]:
    """A connection to the migrated database, and this host's engine. Raises UnavailableError."""
    async with migrated_database(settings) as database:
        owner = await installation_id(database)
    engine = make_engine(settings, owner)
    try:
        async with await connect(settings) as connection:
            yield connection, engine
    except EngineError as exc:
        raise UnavailableError(str(exc)) from exc
    except (psycopg.Error, OSError) as exc:
        raise UnavailableError(f"Postgres is unavailable ({type(exc).__name__}): check DATABASE_URL") from exc
    finally:
        await engine.close()


def confirm(question: str, *, yes: bool) -> None:
    """Ask on the terminal unless `yes`. Raises ConflictError."""
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConflictError("nothing was changed: confirm with --yes")
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in {"y", "yes"}:
        raise ConflictError("nothing was changed")


def say(*lines: str) -> None:
    """Print lines for the operator."""
    print(*lines, sep="\n", flush=True)  # noqa: T201
