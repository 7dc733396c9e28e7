"""Rows of `api_keys`: looking up, making, listing, revoking."""

from dataclasses import dataclass

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from orchestrator.db.keys import hash_key, new_key
from orchestrator.db.models import ApiKey, Server
from orchestrator.errors import ConflictError, InvalidInputError, NotFoundError
from orchestrator.states import Role


@dataclass(frozen=True, slots=True)
class Made:
    """A new key: its row, and the key itself, which is kept nowhere."""

    row: ApiKey
    key: str


async def find(session: AsyncSession, key_id: str) -> ApiKey | None:
    """A key by its public id, revoked ones included."""
    return await session.get(ApiKey, key_id)


async def page(session: AsyncSession, *, limit: int, after: str | None) -> list[ApiKey]:
    """At most `limit` keys in the order of their ids, beginning after one."""
    query = select(ApiKey).order_by(col(ApiKey.id)).limit(limit)
    if after is not None:
        query = query.where(col(ApiKey.id) > after)
    return list((await session.execute(query)).scalars())


async def make(session: AsyncSession, *, name: str, role: Role, server_name: str | None) -> Made:
    """A new key, not yet committed.

    Raises InvalidInputError for an unknown server, an admin key with a server, or any other key without one.
    """
    if (role is Role.ADMIN) is not (server_name is None):
        need = "reaches all servers: name none" if role is Role.ADMIN else "needs a server"
        raise InvalidInputError(f"a key of the role {role} {need}", code="server-and-role")
    if server_name is not None and await session.get(Server, server_name) is None:
        raise InvalidInputError(f"there is no server {server_name!r}", code="unknown-server")
    key_id, key = new_key()
    row = ApiKey(id=key_id, name=name, role=role, server_name=server_name, key_hash=hash_key(key))
    session.add(row)
    await session.flush()
    await session.refresh(row)
    return Made(row, key)


async def revoke(session: AsyncSession, key_id: str) -> None:
    """Revoke a key; one that is revoked already is no error.

    Raises NotFoundError for an unknown one, and ConflictError for the last admin key: nobody could make another.
    """
    # All admin keys are locked, in one order, so that two callers cannot revoke the last two at once.
    admins = select(col(ApiKey.id)).where(col(ApiKey.role) == Role.ADMIN, col(ApiKey.revoked_at).is_(None))
    living = set((await session.execute(admins.order_by(col(ApiKey.id)).with_for_update())).scalars())
    row = await session.get(ApiKey, key_id, with_for_update=True)
    if row is None:
        raise NotFoundError(f"there is no API key {key_id!r}")
    if row.revoked_at is not None:
        return
    if living == {key_id}:
        raise ConflictError("this is the last admin key: make another one first", code="last-admin-key")
    await session.execute(update(ApiKey).where(col(ApiKey.id) == key_id).values(revoked_at=func.now()))
