"""The lease of a server, taken by a test."""

import psycopg

from orchestrator.db import leases


async def take_over(database_url: str, server: str) -> int:
    """Take the server's lease for an hour, whoever holds it; the new epoch."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("UPDATE leases SET expires_at = clock_timestamp() WHERE server_name = %s", [server])
        holder = await leases.acquire(
            connection, server=server, owner="test", engine_id="memory", seconds=3600, default_max_bots=20
        )
        assert holder is not None
        return holder.epoch
