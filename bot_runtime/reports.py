"""How a bot is, and what it has done: the answers of `GET /health` and `GET /stats`."""

import platform
from typing import TYPE_CHECKING

from bot_runtime.contract import VERSION, Health, Stats, Versions
from bot_runtime.files.memory import anonymous_memory
from bot_runtime.whatsapp.library import package_version

if TYPE_CHECKING:
    from bot_runtime.bot import Bot


def health_of(bot: "Bot") -> Health:
    """`GET /health`."""
    connection, link, account = bot.connection, bot.connection.link, bot.credentials.account
    return Health(
        bot_id=bot.environment.bot_id,
        server_name=bot.environment.server_name,
        boot_id=bot.boot_id,
        started_at=bot.started_at,
        connection=link.state,
        since=connection.since,
        phone_number=bot.credentials.phone_number,
        push_name=account.push_name if account else None,
        last_heartbeat=bot.last_heartbeat,
        last_activity=connection.last_activity,
        connection_attempts=link.attempts,
        last_error=connection.fault,
        events=bot.spool.cursor(),
        event_history_size=len(bot.spool.history),
        creds_updated_at=bot.credentials.updated_at(),
        config_generation=bot.config.current.generation,
        memory_bytes=anonymous_memory(),
        versions=Versions(runtime=VERSION, neonize=package_version(), python=platform.python_version()),
    )


def stats_of(bot: "Bot") -> Stats:
    """`GET /stats`."""
    responder = bot.responder
    return Stats(
        bot_id=bot.environment.bot_id,
        messages_received=responder.receiver.received,
        messages_sent=bot.sender.sent,
        send_failures=bot.sender.failed,
        reconnects=bot.connection.reconnects,
        messages_cached=len(responder.receiver.seen),
        locks_held=len(responder.commands.locks),
        commands_run=responder.commands.ran,
        statuses_viewed=responder.auto_view.viewed,
        rate_window=bot.sender.rate_window(),
    )
