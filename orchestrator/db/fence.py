"""The fence of a controller's writes: they count only while its epoch is the server's current one."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


class LeadershipLostError(Exception):
    """This controller does not lead the server any more."""


async def hold(session: AsyncSession, *, server: str, epoch: int) -> None:
    """Raise LeadershipLostError unless `epoch` is the server's, which it then stays until the transaction ends.

    FOR KEY SHARE: a takeover, which raises the epoch, waits for this transaction, so the check holds until the commit.
    A renewal of the lease does not wait for it.
    """
    current = await session.scalar(
        text("SELECT epoch FROM leases WHERE server_name = :name FOR KEY SHARE").bindparams(name=server)
    )
    if current != epoch:
        raise LeadershipLostError(f"epoch {epoch} of server {server} has ended")
