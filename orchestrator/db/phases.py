"""The phase of a bot as the api reports it.

Only the controller writes `bot_status`, and it may be unavailable: a bot whose deletion was requested is reported as
`stopping` from then on, in lists, filters, counts and metrics alike.
"""

from sqlalchemy import ColumnElement, case, literal
from sqlmodel import col

from orchestrator.db.models import Bot, BotStatus
from orchestrator.states import Phase

SHOWN_PHASE: ColumnElement[str] = case((col(Bot.deleting), literal(str(Phase.STOPPING))), else_=col(BotStatus.phase))


def shown_phase(bot: Bot, status: BotStatus) -> str:
    """`SHOWN_PHASE` for rows already read."""
    return Phase.STOPPING if bot.deleting else status.phase
