"""Dependencies of every request: shared services, a database session, the caller and the rows visible to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Request
from sqlalchemy.ext.asyncio import AsyncSession

from bot_runtime.contract import SERVER_NAME_PATTERN
from orchestrator.api import turns
from orchestrator.api.turns import LongCall, Turns
from orchestrator.api.upload_memory import UploadMemory
from orchestrator.auth import Identity, KeyVerifier
from orchestrator.clients.bot import RuntimeClient
from orchestrator.clients.controller import ControllerClient
from orchestrator.db.models import Bot
from orchestrator.db.scope import Scope
from orchestrator.db.session import Database
from orchestrator.errors import ConflictError, ForbiddenError, InvalidInputError
from orchestrator.settings import Settings

SERVER_NAME = (
    "The server that the request is about; needed where several servers that the key has access to have a bot with "
    "this id"
)


@dataclass(frozen=True, slots=True)
class Context:
    """Services that all requests of a process share."""

    settings: Settings
    database: Database
    keys: KeyVerifier
    controllers: ControllerClient
    upload_memory: UploadMemory
    turns: Turns
    revision: str
    """The database revision that this version needs."""
    runtime_port: int

    @asynccontextmanager
    async def runtime(self, bot: Bot, address: str, *, call: LongCall = LongCall.BOT) -> AsyncIterator[RuntimeClient]:
        """A client of a bot's HTTP endpoint at an address in its server's network.

        The request leaves its turn (`turns.retake`). Raises TooManyRequestsError.
        """
        client = RuntimeClient(
            address, bot.runtime_token, timeout_seconds=self.settings.probe_timeout, port=self.runtime_port
        )
        try:
            async with turns.long_call(call):
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


def _selected(
    request: Request,
    server_name: Annotated[
        str | None,
        Query(alias="serverName", pattern=SERVER_NAME_PATTERN, description=SERVER_NAME, examples=["server1"]),
    ] = None,
) -> Scope:
    if len(request.query_params.getlist("serverName")) > 1:
        raise InvalidInputError("serverName: send it once")
    return Scope(identity(request).server, server_name)


def _writer(request: Request) -> Identity:
    caller = identity(request)
    caller.require_writer()
    return caller


def _admin(request: Request) -> Identity:
    caller = identity(request)
    caller.require_admin()
    return caller


def named_server(scope: Scope, in_body: str | None) -> str | None:
    """The server that a request names in its query or in its body, if any. Raises ConflictError if they differ."""
    if in_body is not None and scope.chosen not in {None, in_body}:
        raise ConflictError(
            f"the query names server {scope.chosen!r}, and the body {in_body!r}: name one", code="ambiguous-server"
        )
    return in_body or scope.chosen


def server_of_new_bot(parts: Context, caller: Identity, named: str | None) -> str:
    """The server that a request names, or else the one of the key or of the api. Raises ForbiddenError."""
    server_name = named or caller.server or parts.settings.server_name
    if caller.server not in {None, server_name}:
        raise ForbiddenError(f"this key has no access to server {server_name!r}: omit serverName or use another key")
    return server_name


Parts = Annotated[Context, Depends(context)]
Session = Annotated[AsyncSession, Depends(_session, scope="function")]
"""Closed before the response is sent: a client that reads slowly must not hold a connection to Postgres."""
Caller = Annotated[Identity, Depends(identity)]
Visible = Annotated[Scope, Depends(_scope)]
Selected = Annotated[Scope, Depends(_selected)]
"""For requests about bots: the rows that are visible to the caller, of the server that the request names, if any."""

writer_only = Depends(_writer)
"""For reads that viewers are not allowed to make; the middleware already rejects their writes."""
admin_only = Depends(_admin)
