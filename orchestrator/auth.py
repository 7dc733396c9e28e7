"""Verifies API keys, for the api and for the controller's HTTP port.

A key is looked up by its public id, and its hash is compared in constant time. A lookup is cached for
`CACHE_SECONDS`, so a revoked key stops working within that time in every process, and at once in the one that revoked
it. If Postgres is unavailable and nothing is cached, the error of the lookup is raised: access is denied.
"""

import asyncio
import base64
import binascii
import hmac
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass

from orchestrator.db import api_keys
from orchestrator.db.keys import hash_key
from orchestrator.db.models import ApiKey
from orchestrator.db.session import Database
from orchestrator.errors import ForbiddenError, UnauthorizedError
from orchestrator.states import Role

CACHE_SECONDS = 30.0
CACHED_IDS = 4096
LOOKUPS = 2
"""Of ids that are not known, at the same time: callers without a key must not take all connections to Postgres."""

_KEY = re.compile(r"bd_([0-9a-f]{8})_[A-Za-z0-9_-]{16,128}")


@dataclass(frozen=True, slots=True)
class Identity:
    """The holder of a valid key."""

    key_id: str
    name: str
    role: Role
    server: str | None
    """The only server whose rows it may see; None (admins) sees all."""

    @property
    def may_write(self) -> bool:
        """Whether the key may change anything, pair a phone included."""
        return self.role is not Role.VIEWER

    def require_writer(self) -> None:
        """Raise ForbiddenError for a viewer."""
        if not self.may_write:
            raise ForbiddenError("this API key is read-only: use an operator or admin key")

    def require_admin(self) -> None:
        """Raise ForbiddenError unless the role is admin."""
        if self.role is not Role.ADMIN:
            raise ForbiddenError("this requires an admin key")


@dataclass(frozen=True, slots=True)
class _CachedKey:
    key: ApiKey | None
    until: float


class KeyVerifier:
    """Identifies the holder of a key. One per process; `find` looks up a key by its id."""

    def __init__(
        self, find: Callable[[str], Awaitable[ApiKey | None]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._find = find
        self._clock = clock
        self._cache: dict[str, _CachedKey] = {}
        self._revocations = 0
        self._unknown: dict[str, _CachedKey] = {}
        """Ids of no key: in a cache of their own, so that they cannot displace those of keys."""
        self._lookups = asyncio.Semaphore(LOOKUPS)

    @classmethod
    def on(cls, database: Database) -> "KeyVerifier":
        """A verifier that looks keys up in Postgres."""

        async def find(key_id: str) -> ApiKey | None:
            async with database.session() as session:
                return await api_keys.find(session, key_id)

        return cls(find)

    async def verify(self, key: str | None) -> Identity:
        """The identity of a key's holder.

        Raises UnauthorizedError for a missing or invalid key, and what the database raises when it is unavailable.
        """
        if key is None:
            raise UnauthorizedError("an API key is required: send it as X-Api-Key, or as Authorization: Bearer")
        form = _KEY.fullmatch(key)
        stored = await self._lookup(form[1]) if form else None
        if stored is None or stored.revoked_at is not None or not hmac.compare_digest(hash_key(key), stored.key_hash):
            raise UnauthorizedError("this API key is not valid")
        role = Role(stored.role)
        if role is not Role.ADMIN and stored.server_name is None:
            raise UnauthorizedError("this API key belongs to no server")
        return Identity(stored.id, stored.name, role, None if role is Role.ADMIN else stored.server_name)

    async def require_unrevoked(self, caller: Identity) -> None:
        """Raise UnauthorizedError if the caller's key has been revoked since it was verified."""
        stored = await self._lookup(caller.key_id)
        if stored is None or stored.revoked_at is not None:
            raise UnauthorizedError("this API key is not valid")

    def forget(self, key_id: str) -> None:
        """Drop a key from the cache (it was revoked here)."""
        self._revocations += 1
        self._cache.pop(key_id, None)
        self._unknown.pop(key_id, None)

    async def _lookup(self, key_id: str) -> ApiKey | None:
        cached = self._cache.get(key_id) or self._unknown.get(key_id)
        if cached is not None and self._clock() < cached.until:
            return cached.key
        # A known key does not wait behind any number of unknown ones.
        async with nullcontext() if key_id in self._cache else self._lookups:
            # Before the lookup: its result may be as old as its start.
            until = self._clock() + CACHE_SECONDS
            revocations = self._revocations
            found = await self._find(key_id)
        if self._revocations != revocations:
            return found  # perhaps read before the revocation: it must not be used again
        for cache in (self._cache, self._unknown):
            cache.pop(key_id, None)
        cache = self._unknown if found is None else self._cache
        cache[key_id] = _CachedKey(found, until)
        if len(cache) > CACHED_IDS:
            del cache[next(iter(cache))]
        return found


def presented_key(headers: dict[str, str], *, basic: bool = False) -> str | None:
    """The key in a request's headers (names in lower case); None without one.

    `X-Api-Key` takes precedence over `Authorization: Bearer`. With `basic`, the password of HTTP Basic is accepted too:
    only for pages that a browser opens, because browsers send Basic credentials automatically.
    """
    if key := headers.get("x-api-key"):
        return key.strip()
    scheme, _, value = headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "bearer":
            return value.strip() or None
        case "basic" if basic:
            return _basic_password(value.strip())
        case _:
            return None


def _basic_password(value: str) -> str | None:
    try:
        decoded = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return decoded.partition(":")[2] or None
