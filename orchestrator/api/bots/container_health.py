"""The health of all containers in one response, in the format of the system that Botdock replaces."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import Field

from orchestrator.api.bots.schemas import PhaseText
from orchestrator.api.context import Session, Visible
from orchestrator.api.schemas import ResponseBody
from orchestrator.db import bots
from orchestrator.db.phases import shown_phase

router = APIRouter(prefix="/api/bots/containers", tags=["bots"])


class ContainerHealth(ResponseBody):
    """The health of one bot and its container."""

    container_id: str = Field(description="`{serverName}:{botId}`", examples=["server1:bot-123"])
    bot_status: PhaseText
    container_state: str | None = Field(
        description="The state that Docker reports; null without a container.", examples=["running"]
    )
    is_healthy: bool
    last_heartbeat: datetime | None
    connection_attempts: int
    creds_last_updated: datetime | None
    event_history_size: int


@router.get("/health", summary="Read the health of all containers")
async def health(session: Session, scope: Visible) -> dict[str, ContainerHealth]:
    """Keyed by bot id, for every bot that the key has access to."""
    return {
        bot.id: ContainerHealth(
            container_id=f"{bot.server_name}:{bot.id}",
            bot_status=shown_phase(bot, status),
            container_state=status.container_state,
            is_healthy=status.healthy,
            last_heartbeat=status.last_heartbeat,
            connection_attempts=status.connection_attempts,
            creds_last_updated=status.creds_updated_at,
            event_history_size=status.event_history_size,
        )
        for bot, status in await bots.all_of(session, scope)
    }
