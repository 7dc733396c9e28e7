"""Which engine holds the sessions of a server's bots, and a controller on another one that waits."""

from dataclasses import dataclass

from orchestrator.db.session import Connection
from orchestrator.errors import ConflictError

_READ = """
    SELECT engine_id, (SELECT count(*) FROM bots WHERE server_name = %(server)s),
           (SELECT count(*) FROM bot_status WHERE server_name = %(server)s AND paired_number IS NOT NULL)
    FROM servers WHERE name = %(server)s
"""
_REFUSED = "UPDATE servers SET refused_engine_id = %(engine)s, refused_at = now() WHERE name = %(server)s"
_LEASE = """
    SELECT CASE WHEN expires_at > clock_timestamp() THEN owner END FROM leases
    WHERE server_name = %(server)s FOR UPDATE
"""
_REBIND = """
    UPDATE servers SET engine_id = %(engine)s, refused_engine_id = NULL, refused_at = NULL
    WHERE name = %(server)s AND engine_id IS NOT DISTINCT FROM %(former)s
"""


@dataclass(frozen=True, slots=True)
class EngineBinding:
    """The engine of a server."""

    engine_id: str | None
    """None until the first leader has bound the server."""
    bots: int
    """Number of its bots."""
    paired: int
    """Number of its bots that have had a session."""


async def read(connection: Connection, server: str) -> EngineBinding | None:
    """The server's binding; None when the server does not exist. Raises psycopg.Error."""
    row = await (await connection.execute(_READ, {"server": server})).fetchone()
    return None if row is None else EngineBinding(*row)


async def report_refused(connection: Connection, *, server: str, engine_id: str) -> None:
    """Record that a controller on this engine is waiting. Raises psycopg.Error."""
    await connection.execute(_REFUSED, {"server": server, "engine": engine_id})


async def rebind(connection: Connection, *, server: str, former: str | None, engine_id: str) -> None:
    """Bind the server to another engine than `former`.

    Raises ConflictError while the server has a leader, or when it is no longer bound to `former`; psycopg.Error.
    """
    parameters = {"server": server, "engine": engine_id, "former": former}
    async with connection.transaction():
        # The lease first, as in `leases.acquire`, and an expired one as well: a controller may be taking it.
        lease = await (await connection.execute(_LEASE, parameters)).fetchone()
        if lease is not None and lease[0] is not None:
            raise ConflictError(
                f"server {server} has a leader ({lease[0]}): stop the controller on its present engine, and its bots"
            )
        if (await connection.execute(_REBIND, parameters)).rowcount != 1:
            raise ConflictError(f"server {server} was bound to another engine meanwhile: run the command again")
