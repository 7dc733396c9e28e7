"""The phase that is shown of a bot.

The controller alone writes `bot_status`, and it may be away: a bot whose deletion was asked for is shown as `stopping`
from that moment on, in lists, filters, counts and metrics alike.
"""

from sqlalchemy import ColumnElement, case, literal
from sqlmodel import col

from orchestrator.db.models import Bot, BotStatus
from orchestrator.states import Phase

SHOWN_PHASE: ColumnElement[str] = case((col(Bot.deleting), literal(str(Phase.STOPPING))), else_=col(BotStatus.phase))


def shown_phase(bot: Bot, status: BotStatus) -> str:
    """`SHOWN_PHASE` for rows that were read."""
    return Phase.STOPPING if bot.deleting else status.phase
