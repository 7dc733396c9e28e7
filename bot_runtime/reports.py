"""The state of a bot as `GET /health` reports it."""

import platform
from dataclasses import dataclass
from datetime import datetime

from bot_runtime.contract import VERSION, EventCursor, Health, Versions
from bot_runtime.files.memory import anonymous_memory
from bot_runtime.whatsapp.connection import ConnectionSnapshot
from bot_runtime.whatsapp.library import package_version
from bot_runtime.whatsapp.messages import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class BotIdentity:
    """Which bot this is, and since when its process runs."""

    bot_id: str
    server_name: str
    boot_id: str
    started_at: datetime


def health_of(
    identity: BotIdentity,
    connection: ConnectionSnapshot,
    *,
    account: Account | None,
    creds_updated_at: datetime | None,
    last_heartbeat: datetime | None,
    events: EventCursor,
    event_history_size: int,
    config_generation: int,
) -> Health:
    """The health report, completed with the memory of this process and the versions that run in it."""
    return Health(
        bot_id=identity.bot_id,
        server_name=identity.server_name,
        boot_id=identity.boot_id,
        started_at=identity.started_at,
        connection=connection.status.state,
        since=connection.since,
        phone_number=account.number if account else None,
        push_name=account.push_name if account else None,
        last_heartbeat=last_heartbeat,
        last_activity=connection.last_activity,
        connection_attempts=connection.status.attempts,
        last_error=connection.fault,
        events=events,
        event_history_size=event_history_size,
        creds_updated_at=creds_updated_at,
        config_generation=config_generation,
        memory_bytes=anonymous_memory(),
        next_attempt_at=connection.next_attempt_at,
        versions=Versions(runtime=VERSION, neonize=package_version(), python=platform.python_version()),
    )
