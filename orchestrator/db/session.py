"""Connections to Postgres: one pooled SQLAlchemy engine per process, and short sessions."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from orchestrator.db import tolerant
from orchestrator.settings import Settings

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 5
STATEMENT_TIMEOUT_MS = 15_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 5_000
"""Postgres ends a transaction that its process does not continue: a frozen leader must not hold up its successor."""
CONTROLLER_LOCK_TIMEOUT_MS = 2_000
"""A controller waits for a locked row no longer than this, and retries later: it would otherwise hold a connection that
other bots need, and, if it dies meanwhile, its successor would wait for that write."""
ANSWER_SECONDS = 20.0
"""Longer than the statement timeout, after which Postgres itself ends a statement."""

DatabaseUnavailable = (OperationalError, InterfaceError, PoolTimeout, OSError)
"""What SQLAlchemy raises when Postgres is or becomes unavailable."""


def is_unavailable(exc: BaseException) -> bool:
    """Whether an error means that Postgres is unavailable, rather than that the statement was wrong."""
    return isinstance(exc, DatabaseUnavailable) or (isinstance(exc, DBAPIError) and exc.connection_invalidated)


def reason(exc: BaseException) -> str:
    """Why Postgres is unavailable, in one line."""
    text = str(getattr(exc, "orig", None) or exc).strip()
    return text.splitlines()[0] if text else type(exc).__name__


def is_refusal(exc: BaseException) -> bool:
    """Whether Postgres or its driver refused a value: repeating the statement does not help."""
    orig = exc.orig if isinstance(exc, StatementError) else exc
    if isinstance(orig, psycopg.Error):
        return isinstance(orig, psycopg.DataError | psycopg.errors.ProgramLimitExceeded)
    return isinstance(orig, ValueError | OverflowError | RecursionError)


def is_missing_reference(exc: BaseException) -> bool:
    """Whether a statement failed because a row that it refers to has been deleted meanwhile."""
    return isinstance(exc, DBAPIError) and isinstance(exc.orig, psycopg.errors.ForeignKeyViolation)


class WatchdogConnection(psycopg.AsyncConnection[Any]):
    """A connection that is closed when Postgres does not respond in time.

    A hanging server is not detected otherwise: it ends no statement, and its kernel keeps acknowledging packets.
    Cancelling the query takes up to ten seconds, because psycopg then waits for the server once more.
    """

    answer_seconds: float | None = None
    """Overrides ANSWER_SECONDS."""

    async def wait(self, *arguments: Any, **options: Any) -> Any:
        """Every exchange with the server calls this."""
        seconds = self.answer_seconds or ANSWER_SECONDS
        watchdog = asyncio.get_running_loop().call_later(seconds, self._disconnect, seconds)
        try:
            return await super().wait(*arguments, **options)
        finally:
            watchdog.cancel()

    def _disconnect(self, seconds: float) -> None:
        log.warning("Postgres did not respond for %.1f s: closing the connection", seconds)
        with socket.socket(fileno=os.dup(self.pgconn.socket)) as connection:
            connection.shutdown(socket.SHUT_RDWR)


Connection = psycopg.AsyncConnection[tuple[Any, ...]]
"""A connection outside the pool (`connect`)."""


class Database:
    """The process's connection pool. Sessions are short: one per request or reconcile step."""

    def __init__(self, settings: Settings, *, lock_timeout_ms: int = 0) -> None:
        """`lock_timeout_ms`: how long a statement waits for a lock until it fails; 0: as long as for anything else."""
        self.engine: AsyncEngine = create_async_engine(
            settings.sqlalchemy_url,
            pool_size=settings.database_pool_size,
            max_overflow=0,
            pool_timeout=CONNECT_TIMEOUT_SECONDS,
            pool_pre_ping=True,
            pool_use_lifo=True,  # libpq never shrinks the buffers of a connection, so few should have large ones
            json_deserializer=tolerant.read_json,
            hide_parameters=True,  # they hold tokens and hashes, and errors are logged
            connect_args={
                "async_creator_fn": WatchdogConnection.connect,
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "options": (
                    f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c timezone=UTC"
                    f" -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT_MS}"
                    f" -c lock_timeout={lock_timeout_ms}"
                ),
                # A server that vanished without a FIN is detected after about ten seconds.
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 3,
                "tcp_user_timeout": 10_000,
            },
        )
        event.listen(self.engine.sync_engine, "connect", lambda connection, _: tolerant.register(connection))
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A session; nothing is stored unless the caller commits."""
        async with self._sessions() as session:
            yield session

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


async def connect(settings: Settings, *, answer_seconds: float | None = None) -> Connection:
    """A connection outside the pool, in autocommit mode, that notices a vanished server within about ten seconds.

    It closes itself when Postgres does not respond to a statement within `answer_seconds` (default: ANSWER_SECONDS).
    """
    connection = await WatchdogConnection.connect(
        settings.libpq_url,
        autocommit=True,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        options=(
            f"-c statement_timeout={STATEMENT_TIMEOUT_MS}"
            f" -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT_MS}"
        ),
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        tcp_user_timeout=10_000,
    )
    connection.answer_seconds = answer_seconds
    return connection
