"""The lease of a server: which controller leads it, under which epoch, and until when by Postgres' clock.

`epoch` is a key column (unique with the server's name), so a renewal, which leaves it alone, does not wait for the
`FOR KEY SHARE` of fenced writes (`fence.py`), and a takeover, which raises it, does.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.errors import LockNotAvailable

from orchestrator.db.session import Connection

MAX_SECONDS = 60.0
"""The longest lease that `Settings.lease_seconds` allows."""
LOCK_TIMEOUT_MS = 2_000
"""How long a takeover waits for writes of the former leader; Postgres ends those that idle (`db/session.py`)."""

_SERVER = "INSERT INTO servers (name, max_bots) VALUES (%(server)s, %(max_bots)s) ON CONFLICT DO NOTHING"
_EXPIRES_AT = "SELECT expires_at FROM leases WHERE server_name = %(server)s AND expires_at > clock_timestamp()"
_ACQUIRE = """
    INSERT INTO leases (server_name, owner, epoch, expires_at)
    VALUES (%(server)s, %(owner)s, 1, clock_timestamp() + make_interval(secs => %(seconds)s))
    ON CONFLICT (server_name) DO UPDATE
        SET owner = excluded.owner, epoch = leases.epoch + 1,
            expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
        WHERE leases.expires_at <= clock_timestamp() OR leases.expires_at = %(abandoned)s
    RETURNING epoch
"""
_BIND = "UPDATE servers SET engine_id = %(engine)s WHERE name = %(server)s AND engine_id IS NULL"
_BOUND_TO = "SELECT engine_id FROM servers WHERE name = %(server)s"
_RENEW = """
    UPDATE leases SET expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
    WHERE server_name = %(server)s AND owner = %(owner)s AND epoch = %(epoch)s
"""
_RELEASE = """
    UPDATE leases SET expires_at = clock_timestamp()
    WHERE server_name = %(server)s AND owner = %(owner)s AND epoch = %(epoch)s
"""


class BoundElsewhereError(Exception):
    """The sessions of the server's bots are on another engine."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease."""

    server: str
    owner: str
    """Unique for each process."""
    epoch: int

    def parameters(self) -> dict[str, Any]:
        """For the statements above."""
        return {"server": self.server, "owner": self.owner, "epoch": self.epoch}


async def expiry(connection: Connection, server: str) -> datetime | None:
    """When the lease expires unless it is renewed; None when nobody holds it. Takes no lock. Raises psycopg.Error."""
    row = await (await connection.execute(_EXPIRES_AT, {"server": server})).fetchone()
    return None if row is None else row[0]


async def acquire(
    connection: Connection,
    *,
    server: str,
    owner: str,
    engine_id: str,
    seconds: float,
    default_max_bots: int,
    abandoned: datetime | None = None,
) -> Holder | None:
    """Take the lease unless another holds it (then None), creating the server's row when it is missing.

    The first leader binds the server to its engine; later ones must be on the same engine.
    A lease that still expires at `abandoned` is taken whatever Postgres' clock says. `connection` is in autocommit
    mode. Raises BoundElsewhereError and psycopg.Error.
    """
    parameters = {
        "server": server,
        "owner": owner,
        "engine": engine_id,
        "seconds": seconds,
        "max_bots": default_max_bots,
        "abandoned": abandoned,
    }
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
            await connection.execute(_SERVER, parameters)
            row = await (await connection.execute(_ACQUIRE, parameters)).fetchone()
            if row is not None:
                await connection.execute(_BIND, parameters)
                bound = await (await connection.execute(_BOUND_TO, parameters)).fetchone()
                if bound != (engine_id,):
                    raise BoundElsewhereError(f"server {server} is bound to another engine")
    except LockNotAvailable:
        return None
    return None if row is None else Holder(server, owner, int(row[0]))


async def renew(connection: Connection, holder: Holder, *, seconds: float) -> bool:
    """Extend the lease; False when another controller has taken it. Raises psycopg.Error."""
    return (await connection.execute(_RENEW, {**holder.parameters(), "seconds": seconds})).rowcount == 1


async def release(connection: Connection, holder: Holder) -> None:
    """End the lease now, if it is still held. Raises psycopg.Error."""
    await connection.execute(_RELEASE, holder.parameters())
