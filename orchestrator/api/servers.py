"""Servers: the tenants that own bots, and the number of bots each may have."""

import re
from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import Field

from bot_runtime.contract import SERVER_NAME_PATTERN
from orchestrator.api.context import Parts, Session, Visible, admin_only
from orchestrator.api.fields import Integral, ServerNameField
from orchestrator.api.schemas import DEFAULT_PAGE, Limit, Page, RequestBody, ResponseBody, problems
from orchestrator.db import servers
from orchestrator.db.scope import Scope
from orchestrator.db.servers import ServerOverview as Row
from orchestrator.errors import NotFoundError

MAX_BOTS = 1000

router = APIRouter(prefix="/api/servers", tags=["servers"])


class NewServer(RequestBody):
    """A server to create."""

    name: ServerNameField
    max_bots: Annotated[int, Field(ge=0, le=MAX_BOTS), Integral] | None = Field(
        default=None, description="Default: the setting `BOTCOUNT`."
    )


class ServerPatch(RequestBody):
    """Changes to a server."""

    max_bots: Annotated[int, Integral] = Field(
        ge=0,
        le=MAX_BOTS,
        description="A value below the current number of bots removes none; it only prevents new ones.",
    )


class RefusedController(ResponseBody):
    """A controller that manages no bots because it runs on another engine than the one with the sessions."""

    engine_id: str = Field(description="The engine of that controller.")
    seen_at: datetime = Field(description="When that controller last reported.")


class ControllerView(ResponseBody):
    """The controller of a server."""

    active: bool = Field(description="Whether a controller manages the server's bots at present.")
    seen_at: datetime | None = Field(description="When the controller last reported.")
    engine_id: str | None = Field(
        description="The engine that holds the sessions of the server's bots (`docker info`). Only a controller on "
        "this engine manages the bots; `botdock server rebind` moves the server to another engine."
    )
    refused: RefusedController | None = Field(description="A controller that is waiting on another engine at present.")


class ServerView(ResponseBody):
    """A server with its number of bots."""

    name: str = Field(examples=["server1"])
    max_bots: int
    bots: int
    phases: dict[str, int] = Field(description="Number of bots by phase.", examples=[{"online": 3}])
    controller: ControllerView
    created_at: datetime

    @classmethod
    def of(cls, row: Row) -> Self:
        """The view of a database row."""
        return cls(
            name=row.server.name,
            max_bots=row.server.max_bots,
            bots=row.bots,
            phases=row.phases,
            controller=_controller(row),
            created_at=row.server.created_at,
        )


def _controller(row: Row) -> ControllerView:
    server = row.server
    refused = None
    if row.is_refusing and server.refused_engine_id is not None and server.refused_at is not None:
        refused = RefusedController(engine_id=server.refused_engine_id, seen_at=server.refused_at)
    return ControllerView(
        active=row.has_leader, seen_at=server.controller_seen_at, engine_id=server.engine_id, refused=refused
    )


def _server_name(name: Annotated[str, Path(examples=["server1"])]) -> str:
    if re.fullmatch(SERVER_NAME_PATTERN, name) is None:
        raise NotFoundError(f"server {name!r} not found")
    return name


ServerName = Annotated[str, Depends(_server_name)]


@router.get("", summary="List servers")
async def list_servers(
    session: Session,
    scope: Visible,
    limit: Limit = DEFAULT_PAGE,
    after: Annotated[
        str | None, Query(alias="next", pattern=SERVER_NAME_PATTERN, description="`next` of the previous page")
    ] = None,
) -> Page[ServerView]:
    """Ordered by name. A key of a server returns only that server."""
    rows = await servers.page(session, scope, limit=limit + 1, after=after)
    return Page(
        items=[ServerView.of(row) for row in rows[:limit]],
        next=rows[limit - 1].server.name if len(rows) > limit else None,
    )


@router.post(
    "",
    status_code=201,
    summary="Create a server",
    dependencies=[admin_only],
    responses=problems({403: "The key is not an admin key", 409: "The name is taken"}),
)
async def create(new: NewServer, response: Response, session: Session, parts: Parts) -> ServerView:
    """The server's bots run once a controller is started with this `SERVER_NAME`."""
    max_bots = parts.settings.botcount if new.max_bots is None else new.max_bots
    await servers.create(session, name=new.name, max_bots=max_bots)
    row = await servers.find(session, Scope(None), new.name)
    await session.commit()
    response.headers["Location"] = f"/api/servers/{new.name}"
    return ServerView.of(row)


@router.get("/{name}", summary="Read a server", responses=problems({404: "Server not found"}))
async def read(name: ServerName, session: Session, scope: Visible) -> ServerView:
    """A server with its number of bots and its controller."""
    return ServerView.of(await servers.find(session, scope, name))


@router.patch(
    "/{name}",
    summary="Change a server",
    dependencies=[admin_only],
    responses=problems({403: "The key is not an admin key", 404: "Server not found"}),
)
async def change(name: ServerName, patch: ServerPatch, session: Session, scope: Visible) -> ServerView:
    """Change the number of bots that the server may have."""
    await servers.set_max_bots(session, scope, name, patch.max_bots)
    row = await servers.find(session, scope, name)
    await session.commit()
    return ServerView.of(row)
