"""Actions on a bot: approve, reject, start, stop, restart, log out.

All but logout write the desired state and return; Postgres notifies the controller, which acts at once. Actions are
idempotent: one that finds the desired state unchanged does nothing.
"""

from fastapi import APIRouter

from bot_runtime.contract import ConnectionState
from orchestrator.api.bots.schemas import BotView, RestartBody
from orchestrator.api.context import Parts, Selected, Session
from orchestrator.api.runtime_errors import from_runtime_error
from orchestrator.api.schemas import BotId, problems
from orchestrator.clients.bot_errors import RuntimeCallError, RuntimeUnreachableError
from orchestrator.db import bots
from orchestrator.db.models import Bot
from orchestrator.errors import ConflictError
from orchestrator.states import Approval, DesiredState, Phase

router = APIRouter(prefix="/api/bots/{id}", tags=["bots"], responses=problems({404: "Bot not found"}))

LOGOUT_TIMEOUT_SECONDS = 20.0

# Phases in which a bot waits for a timer or a person; "start" ends the wait.
_WAITING = frozenset(
    {
        Phase.STOPPED,
        Phase.BACKING_OFF,
        Phase.CRASH_LOOP,
        Phase.SKIPPED,
        Phase.LOGGED_OUT,
        Phase.OUTDATED,
        Phase.BANNED,
    }
)


@router.post("/approve", summary="Approve a bot", responses=problems({409: "The bot is being deleted"}))
async def approve(bot_id: BotId, session: Session, scope: Selected) -> BotView:
    """The bot's container starts at once, unless the bot is stopped."""
    row = await bots.changeable(session, scope, bot_id)
    row.bot.approval_status = Approval.APPROVED
    return BotView.of(await bots.saved(session, row))


@router.post("/reject", summary="Reject a bot", responses=problems({409: "The bot is being deleted"}))
async def reject(bot_id: BotId, session: Session, scope: Selected) -> BotView:
    """The bot does not run until it is approved; a running container is removed, the session is preserved."""
    row = await bots.changeable(session, scope, bot_id)
    row.bot.approval_status = Approval.REJECTED
    return BotView.of(await bots.saved(session, row))


@router.post("/start", summary="Start a bot", responses=problems({409: "The bot is not approved, or is being deleted"}))
async def start(bot_id: BotId, session: Session, scope: Selected) -> BotView:
    """Also clears the failure history of a bot that is skipped, in a crash loop, or waiting for its next start."""
    row = await bots.changeable(session, scope, bot_id)
    _require_approved(row.bot)
    seen = row.status.observed_generation == row.bot.generation
    if row.bot.desired_state == DesiredState.RUNNING and row.status.phase in _WAITING and seen:
        row.bot.generation += 1
    row.bot.desired_state = DesiredState.RUNNING
    return BotView.of(await bots.saved(session, row))


@router.post("/stop", summary="Stop a bot", responses=problems({409: "The bot is being deleted"}))
async def stop(bot_id: BotId, session: Session, scope: Selected) -> BotView:
    """The session is preserved: after a start the bot is online again without pairing."""
    row = await bots.changeable(session, scope, bot_id)
    row.bot.desired_state = DesiredState.STOPPED
    return BotView.of(await bots.saved(session, row))


@router.post(
    "/restart", summary="Restart a bot", responses=problems({409: "The bot is not approved, or is being deleted"})
)
async def restart(bot_id: BotId, session: Session, scope: Selected, options: RestartBody | None = None) -> BotView:
    """Replaces the container; with `{"fresh": true}` also deletes the session. Starts a stopped bot."""
    row = await bots.changeable(session, scope, bot_id)
    _require_approved(row.bot)
    row.bot.desired_state = DesiredState.RUNNING
    row.bot.restart_generation += 1
    if options is not None and options.fresh:
        row.bot.session_generation += 1
    return BotView.of(await bots.saved(session, row))


@router.post(
    "/logout",
    summary="Unlink a bot from its phone",
    responses=problems(
        {
            409: "The bot is not running, or has no session",
            502: "WhatsApp rejected the request",
            503: "The bot is unreachable",
            504: "WhatsApp did not respond",
        }
    ),
)
async def logout(bot_id: BotId, session: Session, scope: Selected, parts: Parts) -> BotView:
    """Unlinks the device from the WhatsApp account. To pair the bot again, restart it with `{"fresh": true}`."""
    row = await bots.find(session, scope, bot_id)
    await session.close()
    if row.status.address is None:
        raise ConflictError(
            f"bot {bot_id!r} is not running: start it first (POST /api/bots/{bot_id}/start)", code="not-running"
        )
    async with parts.runtime(row.bot, row.status.address) as runtime:
        try:
            if (await runtime.health()).connection != ConnectionState.LOGGED_OUT:
                await runtime.logout(timeout_seconds=LOGOUT_TIMEOUT_SECONDS)
        except (RuntimeCallError, RuntimeUnreachableError) as exc:
            raise from_runtime_error(exc, bot_id) from exc
    return BotView.of(row)


def _require_approved(bot: Bot) -> None:
    if bot.approval_status != Approval.APPROVED:
        raise ConflictError(
            f"bot {bot.id!r} is {bot.approval_status}: approve it first (POST /api/bots/{bot.id}/approve)",
            code="not-approved",
        )
