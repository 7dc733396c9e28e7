"""Connections to Postgres: one pooled SQLAlchemy engine a process, short sessions, retried start."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from orchestrator.settings import Settings

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 5
STATEMENT_TIMEOUT_MS = 15_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 5_000
"""Postgres ends a transaction that its process does not continue: a frozen leader must not hold up its successor."""
ANSWER_SECONDS = 20.0
"""By then Postgres has answered, or ended the statement itself."""

DatabaseUnavailable = (OperationalError, InterfaceError, PoolTimeout, OSError)
"""What SQLAlchemy raises when Postgres is away or goes away."""


def is_unavailable(exc: BaseException) -> bool:
    """Whether an error says that Postgres cannot be used now, rather than that the statement was wrong."""
    return isinstance(exc, DatabaseUnavailable) or (isinstance(exc, DBAPIError) and exc.connection_invalidated)


class ImpatientConnection(psycopg.AsyncConnection[Any]):
    """A connection that breaks off when Postgres is silent for too long.

    A server that hangs is not noticed otherwise: it ends no statement, and its kernel goes on acknowledging.
    """

    async def wait(self, *arguments: Any, **options: Any) -> Any:
        """Every exchange with the server goes through here."""
        watchdog = asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._break_off)
        try:
            return await super().wait(*arguments, **options)
        finally:
            watchdog.cancel()

    def _break_off(self) -> None:
        log.warning("Postgres was silent for %.0f s: breaking the connection off", ANSWER_SECONDS)
        with socket.socket(fileno=os.dup(self.pgconn.socket)) as connection:
            connection.shutdown(socket.SHUT_RDWR)


class Database:
    """The process's way to Postgres. Sessions are short: one per request or reconcile step."""

    def __init__(self, settings: Settings) -> None:
        self.engine: AsyncEngine = create_async_engine(
            settings.sqlalchemy_url,
            pool_size=settings.database_pool_size,
            max_overflow=0,
            pool_timeout=CONNECT_TIMEOUT_SECONDS,
            pool_pre_ping=True,
            hide_parameters=True,  # they hold tokens and hashes, and errors are logged
            connect_args={
                "async_creator_fn": ImpatientConnection.connect,
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "options": (
                    f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c timezone=UTC"
                    f" -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT_MS}"
                ),
                # A server that vanished without a FIN is noticed after about ten seconds.
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 3,
                "tcp_user_timeout": 10_000,
            },
        )
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A session; nothing is kept unless the caller commits."""
        async with self._sessions() as session:
            yield session

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


async def connect(settings: Settings) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """A connection outside the pool, in autocommit mode, that notices a vanished server within about ten seconds."""
    return await psycopg.AsyncConnection.connect(
        settings.libpq_url,
        autocommit=True,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        options=f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        tcp_user_timeout=10_000,
    )
