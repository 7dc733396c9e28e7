"""`.status`: show the state of the bot."""

from datetime import UTC, datetime, timedelta

from bot_runtime.commands.base import Command, Invocation


async def status(invocation: Invocation) -> str:
    """Uptime, connection, memory and versions."""
    health = invocation.host.health()
    return "\n".join(
        (
            f"*{invocation.host.settings.name or health.bot_id}*",
            f"Uptime: {duration(datetime.now(UTC) - health.started_at)}",
            f"Connection: {health.connection} for {duration(datetime.now(UTC) - health.since)}",
            f"Memory: {health.memory_bytes / 2**20:.1f} MiB",
            f"Version: {health.versions.runtime} (neonize {health.versions.neonize}, Python {health.versions.python})",
        )
    )


def duration(time: timedelta) -> str:
    """A duration for people: `2 d 3 h`, `5 min 7 s`."""
    seconds = max(0, int(time.total_seconds()))
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s")]
    shown = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(shown[:2]) or "0 s"


COMMAND = Command(name="status", summary="shows uptime, connection, memory and version", run=status)
