"""Rows of `api_keys`: find, create, list, revoke."""

from dataclasses import dataclass

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from orchestrator.db.keys import hash_key, new_key
from orchestrator.db.models import ApiKey, Server
from orchestrator.errors import ConflictError, InvalidInputError, NotFoundError
from orchestrator.states import Role


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A new key: its row, and the key itself, which is not stored."""

    row: ApiKey
    key: str


async def find(session: AsyncSession, key_id: str) -> ApiKey | None:
    """A key by its public id, also a revoked one."""
    return await session.get(ApiKey, key_id)


async def page(session: AsyncSession, *, limit: int, after: str | None) -> list[ApiKey]:
    """At most `limit` keys in the order of their ids, starting after `after`."""
    query = select(ApiKey).order_by(col(ApiKey.id)).limit(limit)
    if after is not None:
        query = query.where(col(ApiKey.id) > after)
    return list((await session.execute(query)).scalars())


async def create(session: AsyncSession, *, name: str, role: Role, server_name: str | None) -> NewApiKey:
    """A new key, not yet committed.

    Raises NotFoundError for an unknown server, InvalidInputError if the role does not go with the server.
    """
    if (role is Role.ADMIN) is not (server_name is None):
        need = "has access to all servers: omit the server" if role is Role.ADMIN else "needs a server"
        raise InvalidInputError(f"a key of the role {role} {need}", code="server-and-role")
    if server_name is not None and await session.get(Server, server_name) is None:
        raise NotFoundError(f"server {server_name!r} does not exist", code="unknown-server")
    key_id, key = new_key()
    row = ApiKey(id=key_id, name=name, role=role, server_name=server_name, key_hash=hash_key(key))
    session.add(row)
    await session.flush()
    await session.refresh(row)
    return NewApiKey(row, key)


async def revoke(session: AsyncSession, key_id: str) -> None:
    """Revoke a key. Does nothing if it is revoked already.

    Raises NotFoundError for an unknown key, and ConflictError for the last admin key: nobody could create another.
    """
    # All admin keys are locked, in one order, so that two callers cannot revoke the last two at once.
    admins = select(col(ApiKey.id)).where(col(ApiKey.role) == Role.ADMIN, col(ApiKey.revoked_at).is_(None))
    living = set((await session.execute(admins.order_by(col(ApiKey.id)).with_for_update())).scalars())
    row = await session.get(ApiKey, key_id, with_for_update=True)
    if row is None:
        raise NotFoundError(f"API key {key_id!r} does not exist")
    if row.revoked_at is not None:
        return
    if living == {key_id}:
        raise ConflictError("this is the last admin key: create another one first", code="last-admin-key")
    await session.execute(update(ApiKey).where(col(ApiKey.id) == key_id).values(revoked_at=func.now()))
