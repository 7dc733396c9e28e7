"""The bots of a server as owners of volumes: `Bot.uid` tells a bot from an earlier one with the same id."""

from orchestrator.db.session import Connection
from orchestrator.errors import ConflictError

_UIDS = "SELECT id, uid FROM bots WHERE server_name = %s"
# A change of the generation clears the bot's delay, so that the controller tries again at once.
_ADOPT = """
    UPDATE bots SET uid = %(new)s, resource_name = %(name)s, generation = generation + 1
    WHERE server_name = %(server)s AND id = %(bot)s AND uid = %(former)s AND NOT deleting
"""
_RETRY = "UPDATE bots SET generation = generation + 1 WHERE server_name = %s AND id = %s AND NOT deleting"


async def uids(connection: Connection, server: str) -> dict[str, str]:
    """Each bot's uid by its id. Raises psycopg.Error."""
    return dict(await (await connection.execute(_UIDS, [server])).fetchall())


async def adopt(connection: Connection, *, server: str, bot_id: str, former: str, new: str, name: str) -> None:
    """Let the bot own the volume `name`, which is labelled `new`.

    Raises ConflictError if its uid is no longer `former`, or it is being deleted; psycopg.Error.
    """
    parameters = {"server": server, "bot": bot_id, "former": former, "new": new, "name": name}
    if (await connection.execute(_ADOPT, parameters)).rowcount != 1:
        raise ConflictError(f"bot {bot_id!r} was changed meanwhile: run the command again")


async def retry(connection: Connection, *, server: str, bot_id: str) -> None:
    """Let the controller try at once to start the bot, if there is one. Raises psycopg.Error."""
    await connection.execute(_RETRY, [server, bot_id])
