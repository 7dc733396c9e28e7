"""`botdock key`: creates an API key."""

from orchestrator.cli.context import migrated_database, say
from orchestrator.db import api_keys
from orchestrator.settings import Settings
from orchestrator.states import Role


async def create(settings: Settings, *, name: str, role: Role, server: str | None) -> None:
    """Print a new key, for all servers if `server` is None. Raises BotdockError."""
    async with migrated_database(settings) as database, database.session() as session:
        new = await api_keys.create(session, name=name, role=role, server_name=server)
        await session.commit()
    say(f"BOTDOCK_API_KEY={new.key}")
