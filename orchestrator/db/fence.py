"""Fences a leader's writes: they succeed only while its epoch is the server's current one."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_EPOCH = text("SELECT epoch FROM leases WHERE server_name = :server FOR KEY SHARE")


class LeadershipLostError(Exception):
    """This controller is no longer the leader of its server."""


async def hold(session: AsyncSession, *, server: str, epoch: int) -> None:
    """Raise LeadershipLostError unless `epoch` is the server's current one; it remains so until the transaction ends.

    FOR KEY SHARE: a takeover, which raises the epoch, waits for this transaction, so the check holds until the commit.
    A renewal of the lease does not wait for it.
    """
    if await session.scalar(_EPOCH, {"server": server}) != epoch:
        raise LeadershipLostError(f"epoch {epoch} of server {server} has ended")
