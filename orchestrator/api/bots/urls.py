"""The paths of bots and of what belongs to them, for the header `Location`."""

from orchestrator.db.models import Bot
from orchestrator.db.scope import Scope


def bot_url(bot: Bot, scope: Scope, rest: str = "") -> str:
    """The path of a bot, followed by `rest`. It names the server if the caller sees those of others."""
    query = f"?serverName={bot.server_name}" if scope.server is None else ""
    return f"/api/bots/{bot.id}{rest}{query}"
