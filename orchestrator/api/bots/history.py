"""A bot's past: its events and its log lines."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from bot_runtime.contract import EventType
from orchestrator.api.context import Parts, Session, Visible
from orchestrator.api.schemas import BotId, Limit, ResponseBody, problems
from orchestrator.clients.controller import MAX_TAIL
from orchestrator.db import bots, events, servers
from orchestrator.db.models import BotEvent
from orchestrator.errors import InvalidInput, Unavailable

DEFAULT_EVENTS = 20
DEFAULT_TAIL = 100
MAX_CURSOR = 2**63 - 1

router = APIRouter(prefix="/api/bots/{id}", tags=["history"])


class EventView(ResponseBody):
    """One entry of a bot's history."""

    id: str = Field(description="Grows with time; the cursor for `after`.", examples=["4711"])
    type: str = Field(json_schema_extra={"enum": [str(event) for event in EventType]}, examples=["connection-update"])
    data: dict[str, Any] = Field(examples=[{"connection": "open"}])
    timestamp: datetime


class EventPage(ResponseBody):
    """A part of a bot's history."""

    items: list[EventView]
    next: str | None = Field(
        description="Newest first: send it as `next` for older ones; null at the end. "
        "With `after`: send it as the next `after`; always there."
    )


class LogPage(ResponseBody):
    """Last lines of a bot's container, oldest first."""

    items: list[str]
    source: str = Field(
        description="Whether the lines are of the present container or of the last one.",
        json_schema_extra={"enum": ["container", "last-exit"]},
    )
    next: None = None


@router.get("/events", summary="Read a bot's history", responses=problems({404: "No such bot"}))
async def list_events(
    bot_id: BotId,
    session: Session,
    scope: Visible,
    limit: Limit = DEFAULT_EVENTS,
    older: Annotated[
        int | None, Query(alias="next", ge=0, le=MAX_CURSOR, description="`next` of the page before")
    ] = None,
    after: Annotated[
        int | None, Query(ge=0, le=MAX_CURSOR, description="Replay: oldest first, those after this id (0: all)")
    ] = None,
) -> EventPage:
    """Newest first; or, with `after`, oldest first for a program that follows what happens."""
    if after is not None and older is not None:
        raise InvalidInput("send either `after` or `next`, not both")
    await bots.find(session, scope, bot_id)
    if after is not None:
        rows = await events.after(session, scope, bot_id, limit=limit, after_id=after)
        return EventPage(items=[_view(row) for row in rows], next=str(rows[-1].id if rows else after))
    rows = await events.newest(session, scope, bot_id, limit=limit + 1, before=older)
    items = [_view(row) for row in rows[:limit]]
    return EventPage(items=items, next=items[-1].id if len(rows) > limit else None)


@router.get(
    "/logs",
    summary="Read a bot's log",
    responses=problems({404: "No such bot", 503: "No controller acts for the bot's server"}),
)
async def logs(
    bot_id: BotId,
    session: Session,
    scope: Visible,
    parts: Parts,
    tail: Annotated[int, Query(ge=1, le=MAX_TAIL, description="Lines at most")] = DEFAULT_TAIL,
) -> LogPage:
    """The last lines of its container; of one that has ended, those kept with its exit."""
    row = await bots.find(session, scope, bot_id)
    server = await servers.find(session, scope, row.bot.server_name)
    await session.close()
    if row.status.container_id is None:
        kept = (row.status.last_exit or {}).get("logs", [])
        return LogPage(items=kept[-tail:], source="last-exit")
    if not server.acting or server.server.controller is None:
        raise Unavailable(
            f"no controller acts for server {row.bot.server_name!r} now, and only it can read the log",
            code="no-controller",
        )
    lines = await parts.controllers.logs(
        address=server.server.controller, bot_id=bot_id, token=row.bot.runtime_token, tail=tail
    )
    return LogPage(items=lines[-tail:], source="container")


def _view(row: BotEvent) -> EventView:
    return EventView(id=str(row.id), type=row.type, data=row.data, timestamp=row.timestamp)
