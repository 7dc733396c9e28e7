"""Dependencies of every request: shared services, a database session, the caller and the rows visible to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.api.upload_memory import UploadMemory
from orchestrator.auth import Identity, KeyVerifier
from orchestrator.clients.bot import RuntimeClient
from orchestrator.clients.controller import ControllerClient
from orchestrator.db.models import Bot
from orchestrator.db.scope import Scope
from orchestrator.db.session import Database
from orchestrator.settings import Settings


@dataclass(frozen=True, slots=True)
class Context:
    """Services that all requests of a process share."""

    settings: Settings
    database: Database
    keys: KeyVerifier
    controllers: ControllerClient
    upload_memory: UploadMemory
    revision: str
    """The database revision that this version needs."""
    runtime_port: int

    @asynccontextmanager
    async def runtime(self, bot: Bot, address: str) -> AsyncIterator[RuntimeClient]:
        """A client of a bot's HTTP endpoint at an address in its server's network."""
        client = RuntimeClient(
            address, bot.runtime_token, timeout_seconds=self.settings.probe_timeout, port=self.runtime_port
        )
        try:
            yield client
        finally:
            await client.close()


def context(request: Request) -> Context:
    """The services of this process."""
    parts: Context = request.app.state.context
    return parts


async def _session(request: Request) -> AsyncIterator[AsyncSession]:
    async with context(request).database.session() as session:
        yield session


def identity(request: Request) -> Identity:
    """The caller, as authenticated by `orchestrator/api/auth_middleware.py`."""
    caller: Identity = request.state.identity
    return caller


def _scope(request: Request) -> Scope:
    return Scope(identity(request).server)


def _writer(request: Request) -> Identity:
    caller = identity(request)
    caller.require_writer()
    return caller


def _admin(request: Request) -> Identity:
    caller = identity(request)
    caller.require_admin()
    return caller


Parts = Annotated[Context, Depends(context)]
Session = Annotated[AsyncSession, Depends(_session)]
Caller = Annotated[Identity, Depends(identity)]
Visible = Annotated[Scope, Depends(_scope)]

writer_only = Depends(_writer)
"""For reads that viewers are not allowed to make; the middleware already rejects their writes."""
admin_only = Depends(_admin)
