"""Whether a bot is supposed to run, for calls that need it running."""

from orchestrator.db.models import Bot
from orchestrator.errors import ConflictError
from orchestrator.states import Approval, DesiredState


def require_active(bot: Bot) -> None:
    """Raise ConflictError, with what to do, for a bot that does not run until a person acts."""
    here = f"/api/bots/{bot.id}"
    if bot.deleting:
        raise ConflictError(f"bot {bot.id!r} is being deleted", code="deleting")
    if bot.approval_status != Approval.APPROVED:
        raise ConflictError(
            f"bot {bot.id!r} is {bot.approval_status}: approve it first (POST {here}/approve)", code="not-approved"
        )
    if bot.desired_state == DesiredState.STOPPED:
        raise ConflictError(f"bot {bot.id!r} is stopped: start it first (POST {here}/start)", code="stopped")
