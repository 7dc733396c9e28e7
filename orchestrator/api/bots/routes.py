"""Bots: making, reading, changing, deleting."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from bot_runtime.contract import BOT_ID_PATTERN, SERVER_NAME_PATTERN
from orchestrator.api.bots.schemas import BotPatch, BotView, NewBot, merged
from orchestrator.api.context import Caller, Parts, Session, Visible
from orchestrator.api.schemas import DEFAULT_PAGE, BotId, Limit, Page, problems
from orchestrator.db import bots
from orchestrator.db.models import Approval, Phase
from orchestrator.errors import Forbidden

router = APIRouter(prefix="/api/bots", tags=["bots"])


@router.post(
    "",
    status_code=201,
    summary="Make a bot",
    responses=problems({403: "The key does not reach this server", 409: "The id is taken, or the server is full"}),
)
async def create(new: NewBot, response: Response, caller: Caller, parts: Parts, session: Session) -> BotView:
    """The bot waits for approval (`POST /api/bots/{id}/approve`); then its container starts at once."""
    server_name = new.server_name or caller.server or parts.settings.server_name
    if caller.server not in {None, server_name}:
        raise Forbidden(f"this key does not reach server {server_name!r}")
    row = await bots.create(
        session,
        server_name=server_name,
        bot_id=new.id,
        values={
            "name": new.name,
            "phone_number": new.phone_number,
            "settings": merged({}, new.settings),
            "limits": merged({}, new.limits),
        },
    )
    response.headers["Location"] = f"/api/bots/{row.bot.id}"
    return BotView.of(row)


@router.get("", summary="List bots")
async def list_bots(
    session: Session,
    scope: Visible,
    limit: Limit = DEFAULT_PAGE,
    after: Annotated[
        str | None, Query(alias="next", pattern=BOT_ID_PATTERN, description="`next` of the page before")
    ] = None,
    server_name: Annotated[str | None, Query(alias="serverName", pattern=SERVER_NAME_PATTERN)] = None,
    phase: Phase | None = None,
    approval_status: Annotated[Approval | None, Query(alias="approvalStatus")] = None,
) -> Page[BotView]:
    """In the order of their ids. A key sees the bots of its own server."""
    filters = bots.Filters(server_name, phase, approval_status)
    rows = await bots.page(session, scope, limit=limit + 1, after=after, filters=filters)
    return Page(
        items=[BotView.of(row, with_logs=False) for row in rows[:limit]],
        next=rows[limit - 1].bot.id if len(rows) > limit else None,
    )


@router.get("/{id}", summary="Read a bot", responses=problems({404: "No such bot"}))
async def read(bot_id: BotId, session: Session, scope: Visible) -> BotView:
    """What is wanted of the bot, and what is known of it."""
    return BotView.of(await bots.find(session, scope, bot_id))


@router.patch("/{id}", summary="Change a bot", responses=problems({404: "No such bot", 409: "It is being deleted"}))
async def change(bot_id: BotId, patch: BotPatch, session: Session, scope: Visible) -> BotView:
    """Name, phone number and settings are applied while the bot runs; a changed limit replaces its container."""
    row = await bots.changeable(session, scope, bot_id)
    if patch.name is not None:
        row.bot.name = patch.name
    if "phone_number" in patch.model_fields_set:
        row.bot.phone_number = patch.phone_number
    if patch.settings is not None:
        row.bot.settings = merged(row.bot.settings, patch.settings)
    if patch.limits is not None:
        row.bot.limits = merged(row.bot.limits, patch.limits)
    return BotView.of(await bots.saved(session, row))


@router.delete(
    "/{id}",
    status_code=202,
    summary="Delete a bot",
    response_model=BotView,
    responses=problems({404: "No such bot"}),
)
async def delete(bot_id: BotId, session: Session, scope: Visible) -> Response:
    """Its container, its session and its history go; the bot is `stopping` until they are gone, and then a 404."""
    row = await bots.locked(session, scope, bot_id)
    row.bot.deleting = True
    view = BotView.of(await bots.saved(session, row))
    return JSONResponse(view.model_dump(mode="json", by_alias=True), status_code=202)
