"""`botdock server rebind`: moves a server to the engine of the host on which the command runs."""

from orchestrator.cli.context import confirm, reach, say
from orchestrator.db import binding
from orchestrator.engine.base import Label
from orchestrator.errors import NotFoundError
from orchestrator.settings import Settings


async def rebind(settings: Settings, *, server: str, yes: bool) -> None:
    """State what will happen, ask unless `yes`, and bind the server to this engine. Raises BotdockError."""
    async with reach(settings.model_copy(update={"server_name": server})) as (connection, engine):
        present = await binding.read(connection, server)
        if present is None:
            raise NotFoundError(f"server {server!r} does not exist")
        engine_id = await engine.identity()
        if present.engine_id == engine_id:
            say(f"Server {server} is already bound to this engine ({engine_id}).")
            return
        sessions = len({volume.labels.get(Label.BOT_ID) for volume in await engine.list_volumes()})
        say(
            f"Server {server} is bound to engine {present.engine_id or 'none'}; this engine is {engine_id}.",
            f"It has {present.bots} bots, {present.paired} of them paired; this engine has {sessions} volumes of them.",
            "Bots without a volume here start without a session and have to be paired again.",
            "Containers on the other engine are not stopped: two bots with one session disconnect each other.",
        )
        confirm(f"Move server {server} to this engine?", yes=yes)
        await binding.rebind(connection, server=server, former=present.engine_id, engine_id=engine_id)
        say(f"Server {server} is bound to engine {engine_id}.")
