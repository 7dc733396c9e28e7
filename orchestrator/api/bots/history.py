"""A bot's history: its events and its log lines."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from bot_runtime.contract import EventType
from orchestrator.api import turns
from orchestrator.api.bots.pairing_secrets import without_drawn_qr_codes, without_qr_codes
from orchestrator.api.bots.schemas import LastExit
from orchestrator.api.context import Caller, Parts, Selected, Session
from orchestrator.api.schemas import BotId, Limit, ResponseBody, problems
from orchestrator.api.turns import LongCall
from orchestrator.auth import Identity
from orchestrator.clients.controller import MAX_TAIL
from orchestrator.db import bots, events, servers
from orchestrator.db.models import BotEvent
from orchestrator.db.tolerant import as_object
from orchestrator.errors import InvalidInputError, UnavailableError
from orchestrator.states import EventSource

DEFAULT_EVENTS = 20
DEFAULT_TAIL = 100
MAX_CURSOR = 2**63 - 1

router = APIRouter(prefix="/api/bots/{id}", tags=["history"])


class EventView(ResponseBody):
    """An event of a bot."""

    id: str = Field(description="Increases with time; the cursor for `after`.", examples=["4711"])
    type: str = Field(
        description=f"{', '.join(f'`{event}`' for event in EventType)}, or a type that a newer bot has added.",
        examples=["connection-update"],
    )
    data: dict[str, Any] = Field(examples=[{"connection": "open"}])
    timestamp: datetime
    source: str = Field(
        description="Who recorded it: what a `bot` reports is its own account of itself.",
        json_schema_extra={"enum": list(EventSource)},
    )


class EventList(ResponseBody):
    """A page of a bot's events."""

    items: list[EventView]
    next: str | None = Field(
        description="Newest first: send it as `next` for older events; null on the last page. "
        "With `after`: send it as the next `after`; never null."
    )


class LogPage(ResponseBody):
    """The last log lines of a bot's container, oldest first."""

    items: list[str]
    source: str = Field(
        description="Whether the lines are from the current container or from the last one that exited.",
        json_schema_extra={"enum": ["container", "last-exit"]},
    )
    next: None = None


@router.get("/events", summary="List a bot's events", responses=problems({404: "Bot not found"}))
async def list_events(
    bot_id: BotId,
    session: Session,
    scope: Selected,
    caller: Caller,
    limit: Limit = DEFAULT_EVENTS,
    older: Annotated[
        int | None, Query(alias="next", ge=0, le=MAX_CURSOR, description="`next` of the previous page")
    ] = None,
    after: Annotated[
        int | None, Query(ge=0, le=MAX_CURSOR, description="Oldest first, only events after this id (0: all)")
    ] = None,
) -> EventList:
    """Newest first; or, with `after`, oldest first, for programs that follow the events.

    A page ends early when its events have 1 MiB of data. A read-only key gets `null` in place of QR codes.
    """
    if after is not None and older is not None:
        raise InvalidInputError("send either `after` or `next`, not both")
    bot, _ = await bots.find(session, scope, bot_id)
    if after is not None:
        rows, _ = await events.after(session, bot.key, limit=limit, after_id=after)
        return EventList(items=[_view(row, caller) for row in rows], next=str(rows[-1].id if rows else after))
    rows, more = await events.newest(session, bot.key, limit=limit, before=older)
    items = [_view(row, caller) for row in rows]
    return EventList(items=items, next=items[-1].id if more else None)


@router.get(
    "/logs",
    summary="Read a bot's log lines",
    responses=problems({404: "Bot not found", 503: "The bot's server has no active controller"}),
)
async def logs(
    bot_id: BotId,
    session: Session,
    scope: Selected,
    parts: Parts,
    caller: Caller,
    tail: Annotated[int, Query(ge=1, le=MAX_TAIL, description="Maximum number of lines")] = DEFAULT_TAIL,
) -> LogPage:
    """The last lines of the current container; without one, those stored with the last exit.

    A read-only key gets them without the QR codes that are drawn in them.
    """
    row = await bots.find(session, scope, bot_id)
    controller = await servers.controller(session, row.bot.server_name)
    await session.close()
    if row.status.container_id is None:
        lines = LastExit.of(row.status.last_exit or {}).logs
        return LogPage(items=_shown(lines[-tail:], caller), source="last-exit")
    if controller is None:
        raise UnavailableError(
            f"server {row.bot.server_name!r} has no active controller to read the logs: start one or retry later",
            code="no-controller",
        )
    async with turns.long_call(LongCall.LOGS):
        lines = await parts.controllers.logs(address=controller, bot_id=bot_id, token=row.bot.runtime_token, tail=tail)
    return LogPage(items=_shown(lines[-tail:], caller), source="container")


def _shown(lines: list[str], caller: Identity) -> list[str]:
    return lines if caller.may_write else without_drawn_qr_codes(lines)


def _view(row: BotEvent, caller: Identity) -> EventView:
    data = as_object(row.data)
    if not caller.may_write:
        data = without_qr_codes(data)
    return EventView(id=str(row.id), type=row.type, data=data, timestamp=row.timestamp, source=row.source)
