"""The ASGI application: all routers behind authentication. It starts even while Postgres is unavailable."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from bot_runtime import contract
from orchestrator import __version__
from orchestrator.api import commands, docs, errors, keys, servers
from orchestrator.api.auth_middleware import AuthMiddleware
from orchestrator.api.bots import actions, container_health, groups, history, media, pairing
from orchestrator.api.bots import routes as bots
from orchestrator.api.context import Context
from orchestrator.api.messages import routes as messages
from orchestrator.api.operations import routes as operations
from orchestrator.api.operations.http_metrics import HttpMetrics
from orchestrator.api.pool import routes as pool
from orchestrator.api.turns import Turns
from orchestrator.api.unread_responses import UnreadResponses
from orchestrator.api.upload_memory import UploadMemory
from orchestrator.auth import KeyVerifier
from orchestrator.clients.controller import ControllerClient
from orchestrator.db.announce import announce
from orchestrator.db.schema import needed_revision
from orchestrator.db.session import Database
from orchestrator.settings import Settings

DESCRIPTION = """One real Docker container per WhatsApp bot.

Send an API key with every request, as `X-Api-Key` or as `Authorization: Bearer`. A key of a server only gives access
to the bots of that server; with an admin key, `serverName` states the server of a bot. Lists are
`{"items": […], "next": …}`; errors are `application/problem+json` with a stable `code`."""

TAGS = [
    {"name": "bots", "description": "Create, read, change, delete and control bots"},
    {"name": "pairing", "description": "Pair a bot with a phone"},
    {"name": "messages", "description": "Send messages, and download the files of received messages"},
    {"name": "groups", "description": "Groups that bots are members of"},
    {"name": "commands", "description": "Custom commands that bots reply to"},
    {"name": "pool", "description": "Bots as a pool of WhatsApp sessions, one per company"},
    {"name": "history", "description": "Events and log lines"},
    {"name": "servers", "description": "Tenants and their limits"},
    {"name": "keys", "description": "API keys (admins only)"},
    {"name": "operations", "description": "Probes, fleet overview and metrics"},
]

# Fixed paths come before those with a bot id, which would match them too.
ROUTERS = (
    *(container_health, bots, actions, pairing, history, messages, media, groups),
    *(commands, pool, servers, keys, operations, docs),
)


class BotdockApi(FastAPI):
    """FastAPI with a customised OpenAPI document."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document; generated on the first call."""
        if self.openapi_schema is None:
            self.openapi_schema = docs.describe(self)
        return self.openapi_schema


def create_app(settings: Settings, *, runtime_port: int = contract.PORT) -> FastAPI:
    """The API as an ASGI application. `runtime_port` is the port that bots listen on."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database(settings)
        controllers = ControllerClient()
        app.state.context = Context(
            settings=settings,
            database=database,
            keys=KeyVerifier.on(database),
            controllers=controllers,
            upload_memory=UploadMemory(),
            # Half of the connections: one tenant leaves the other half, whatever its requests wait for in Postgres.
            turns=Turns(per_tenant=max(1, settings.database_pool_size // 2)),
            revision=needed_revision(),
            runtime_port=runtime_port,
        )
        # A new api container is in no bot network until a controller connects it.
        announcing = asyncio.create_task(announce(database))
        try:
            yield
        finally:
            announcing.cancel()
            await asyncio.gather(announcing, return_exceptions=True)
            await controllers.close()
            await database.close()

    app = BotdockApi(
        title="Botdock",
        version=__version__,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        openapi_url=docs.SCHEMA,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    errors.install(app, [r for module in ROUTERS for r in module.router.routes if isinstance(r, APIRoute)])
    app.state.http_metrics = HttpMetrics()
    app.add_middleware(AuthMiddleware, metrics=app.state.http_metrics, unread=UnreadResponses())
    for module in ROUTERS:
        app.include_router(module.router)
    return app
