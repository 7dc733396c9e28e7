"""The fence of a controller's writes: they count only while its epoch is the server's present one."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


class LeadershipLostError(Exception):
    """Another controller acts for this server now."""


async def hold(session: AsyncSession, *, server: str, epoch: int) -> None:
    """Raise LeadershipLostError unless `epoch` is the server's, which it then stays until the transaction ends.

    FOR SHARE: a successor's `epoch + 1` waits for this transaction, so the check holds until the commit.
    """
    present = await session.scalar(
        text("SELECT epoch FROM servers WHERE name = :name FOR SHARE").bindparams(name=server)
    )
    if present != epoch:
        raise LeadershipLostError(f"epoch {epoch} of server {server} has ended")
