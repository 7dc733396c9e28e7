"""The health of all containers in one response, in the format of the system that Botdock replaces."""

from datetime import datetime
from typing import Any

import msgspec
from fastapi import APIRouter, Response
from pydantic import Field
from sqlalchemy import func, literal
from sqlmodel import col

from orchestrator.api.bots.schemas import PhaseText
from orchestrator.api.context import Selected, Session
from orchestrator.api.schemas import ResponseBody
from orchestrator.db import fleet
from orchestrator.db.models import Bot, BotStatus
from orchestrator.db.phases import SHOWN_PHASE

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


_COLUMNS = (
    col(Bot.id),
    col(Bot.server_name),
    SHOWN_PHASE,
    col(BotStatus.container_state),
    col(BotStatus.healthy),
    col(BotStatus.last_heartbeat),
    col(BotStatus.connection_attempts),
    col(BotStatus.creds_updated_at),
    col(BotStatus.event_history_size),
)


@router.get("/health", summary="Read the health of all containers", response_model=dict[str, ContainerHealth])
async def health(session: Session, scope: Selected) -> Response:
    """Keyed by bot id, for every bot that the key has access to. Bots with the same id are keyed by `containerId`."""
    # Within one server, ids are unique.
    namesakes = literal(1) if scope.one_server else func.count().over(partition_by=col(Bot.id))
    # Encoded in chunks, so that other requests are handled between them, and without a model for each bot, which would
    # take half of the time.
    chunks = fleet.chunks(session, scope, namesakes, *_COLUMNS)
    parts = [msgspec.json.encode(dict(map(_entry, rows)))[1:-1] async for rows in chunks]
    return Response(b"{" + b",".join(parts) + b"}", media_type="application/json")


def _entry(row: Any) -> tuple[str, dict[str, Any]]:
    """The key of a bot, and its `ContainerHealth` by the names in the response."""
    namesakes, bot_id, server_name, phase, state, healthy, last_heartbeat, attempts, creds_updated_at, history = row
    container_id = f"{server_name}:{bot_id}"
    return bot_id if namesakes == 1 else container_id, {
        "containerId": container_id,
        "botStatus": phase,
        "containerState": state,
        "isHealthy": healthy,
        "lastHeartbeat": last_heartbeat,
        "connectionAttempts": attempts,
        "credsLastUpdated": creds_updated_at,
        "eventHistorySize": history,
    }
