"""`botdock volumes`: the volumes of a server's bots on this host's engine, and what to do with those without a bot."""

from orchestrator.cli.context import confirm, reach, say
from orchestrator.db import binding, volume_owners
from orchestrator.db.session import Connection
from orchestrator.engine.base import Engine, Label, ObservedVolume
from orchestrator.errors import ConflictError, NotFoundError
from orchestrator.reconcile.volumes import orphaned
from orchestrator.settings import Settings


async def list_all(settings: Settings) -> None:
    """Print each volume with its bot and whether it is orphaned. Raises BotdockError."""
    async with reach(settings) as (connection, engine):
        server = settings.server_name
        volumes, uids, orphans = await _volumes(connection, engine, server)
        if not volumes and await binding.read(connection, server) is None:
            raise NotFoundError(f"server {server!r} does not exist")
        rows = [("VOLUME", "BOT", "STATE")]
        for name, volume in sorted(volumes.items()):
            bot_id = volume.labels.get(Label.BOT_ID, "")
            state = "in use" if name not in orphans else "orphaned (earlier bot)" if bot_id in uids else "orphaned"
            rows.append((name, bot_id, state))
        width = max(len(row[0]) for row in rows), max(len(row[1]) for row in rows)
        say(*(f"{name:<{width[0]}}  {bot:<{width[1]}}  {state}" for name, bot, state in rows))


async def adopt(settings: Settings, *, name: str) -> None:
    """Give an orphaned volume, with its session, to the bot that has the id now. Raises BotdockError."""
    server = settings.server_name
    async with reach(settings) as (connection, engine):
        volume, uids = await _orphan(connection, engine, server, name)
        bot_id = volume.labels.get(Label.BOT_ID, "")
        if bot_id not in uids:
            raise NotFoundError(f"there is no bot {bot_id!r} on server {server}: create it first")
        new = volume.labels.get(Label.BOT_UID, "")
        former = uids[bot_id]
        await volume_owners.adopt(connection, server=server, bot_id=bot_id, former=former, new=new, name=name)
        say(f"Bot {bot_id} continues the session on {name}.")


async def remove(settings: Settings, *, name: str, yes: bool) -> None:
    """Delete an orphaned volume with its session, once confirmed. Raises BotdockError."""
    server = settings.server_name
    async with reach(settings) as (connection, engine):
        volume, _ = await _orphan(connection, engine, server, name)
        bot_id = volume.labels.get(Label.BOT_ID, "")
        say(f"The volume {name} holds the session of an earlier bot {bot_id}.")
        confirm("Delete it? The account then has to be paired again.", yes=yes)
        await _orphan(connection, engine, server, name)
        await engine.remove_volume(name)
        await volume_owners.retry(connection, server=server, bot_id=bot_id)
        say(f"Deleted {name}.")


async def _volumes(
    connection: Connection, engine: Engine, server: str
) -> tuple[dict[str, ObservedVolume], dict[str, str], set[str]]:
    """All volumes by name, the bots' uids by id, and the names of the orphaned volumes."""
    # Volumes first: in the other order, the volume of a bot created between the two reads would look orphaned.
    volumes = await engine.list_volumes()
    uids = await volume_owners.uids(connection, server)
    return {volume.name: volume for volume in volumes}, uids, {volume.name for volume in orphaned(volumes, uids)}


async def _orphan(
    connection: Connection, engine: Engine, server: str, name: str
) -> tuple[ObservedVolume, dict[str, str]]:
    volumes, uids, orphans = await _volumes(connection, engine, server)
    if name not in volumes:
        raise NotFoundError(f"this engine has no volume {name!r} of server {server}: see `botdock volumes list`")
    if name not in orphans:
        bot_id = volumes[name].labels.get(Label.BOT_ID, "")
        raise ConflictError(f"the volume {name} belongs to bot {bot_id!r}: delete the bot, or restart it with fresh")
    return volumes[name], uids
