"""Create, read, change and delete bots."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from bot_runtime.contract import BOT_ID_PATTERN, SERVER_NAME_PATTERN
from orchestrator.api.bots.schemas import BotPatch, BotView, NewBot, merged
from orchestrator.api.bots.urls import bot_url
from orchestrator.api.context import Caller, Parts, Selected, Session, named_server, server_of_new_bot
from orchestrator.api.schemas import DEFAULT_PAGE, BotId, Limit, Page, problems
from orchestrator.db import bots
from orchestrator.db.bots import PageStart
from orchestrator.db.models import Bot
from orchestrator.db.scope import Scope
from orchestrator.states import Approval, Phase

PAGE_START_PATTERN = f"{BOT_ID_PATTERN.removesuffix('$')}(:{SERVER_NAME_PATTERN[1:-1]})?$"

router = APIRouter(prefix="/api/bots", tags=["bots"])


@router.post(
    "",
    status_code=201,
    summary="Create a bot",
    responses=problems(
        {
            403: "The key has no access to this server",
            404: "Server not found",
            409: "The id is taken, or the server is full, or query and body name different servers",
        }
    ),
)
async def create(
    new: NewBot, response: Response, caller: Caller, parts: Parts, session: Session, scope: Selected
) -> BotView:
    """The bot waits for approval (`POST /api/bots/{id}/approve`); once approved, its container starts."""
    server_name = server_of_new_bot(parts, caller, named_server(scope, new.server_name))
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
    response.headers["Location"] = bot_url(row.bot, Scope(caller.server))
    return BotView.of(row)


@router.get("", summary="List bots")
async def list_bots(
    session: Session,
    scope: Selected,
    limit: Limit = DEFAULT_PAGE,
    after: Annotated[
        str | None, Query(alias="next", pattern=PAGE_START_PATTERN, description="`next` of the previous page")
    ] = None,
    phase: Phase | None = None,
    approval_status: Annotated[Approval | None, Query(alias="approvalStatus")] = None,
) -> Page[BotView]:
    """Ordered by id, those with the same id by server. A key of a server returns only that server's bots."""
    filters = bots.Filters(phase, approval_status)
    rows = await bots.page(session, scope, limit=limit + 1, after=_page_start(after), filters=filters)
    return Page(
        items=[BotView.of(row, with_logs=False) for row in rows[:limit]],
        next=_next(rows[limit - 1].bot, scope) if len(rows) > limit else None,
    )


@router.get("/{id}", summary="Read a bot", responses=problems({404: "Bot not found"}))
async def read(bot_id: BotId, session: Session, scope: Selected) -> BotView:
    """The bot's desired state and its status."""
    return BotView.of(await bots.find(session, scope, bot_id))


@router.patch(
    "/{id}", summary="Change a bot", responses=problems({404: "Bot not found", 409: "The bot is being deleted"})
)
async def change(bot_id: BotId, patch: BotPatch, session: Session, scope: Selected) -> BotView:
    """Name, phone number and settings are applied to the running bot; changed limits replace its container."""
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
    responses=problems({404: "Bot not found"}),
)
async def delete(bot_id: BotId, session: Session, scope: Selected) -> Response:
    """Deletes the bot with its container, session and history; its phase is `stopping` until that is done."""
    row = await bots.locked(session, scope, bot_id)
    row.bot.deleting = True
    view = BotView.of(await bots.saved(session, row))
    return JSONResponse(view.model_dump(mode="json", by_alias=True), status_code=202)


def _page_start(cursor: str | None) -> PageStart | None:
    bot_id, _, server_name = (cursor or "").partition(":")
    return PageStart(bot_id, server_name or None) if bot_id else None


def _next(last: Bot, scope: Scope) -> str:
    return last.id if scope.one_server else f"{last.id}:{last.server_name}"
