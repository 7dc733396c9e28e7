"""Keys are verified against the database, with a short cache."""

import asyncio
import base64
from datetime import UTC, datetime

import pytest

from orchestrator.auth import CACHE_SECONDS, CACHED_IDS, LOOKUPS, KeyVerifier, presented_key
from orchestrator.db.keys import hash_key, new_key
from orchestrator.db.models import ApiKey
from orchestrator.errors import ForbiddenError, UnauthorizedError
from orchestrator.states import Role


class Database:
    """Rows by id, and the number of lookups."""

    def __init__(self) -> None:
        self.rows: dict[str, ApiKey] = {}
        self.asked = 0
        self.away = False

    def add(self, role: Role, server: str | None = None) -> str:
        key_id, key = new_key()
        self.rows[key_id] = ApiKey(id=key_id, name="test", role=role, server_name=server, key_hash=hash_key(key))
        return key

    async def find(self, key_id: str) -> ApiKey | None:
        self.asked += 1
        if self.away:
            raise ConnectionRefusedError
        return self.rows.get(key_id)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verifier(database: Database, clock: Clock) -> KeyVerifier:
    return KeyVerifier(database.find, clock=clock)


async def test_a_valid_key_identifies_the_caller(verifier: KeyVerifier, database: Database) -> None:
    key = database.add(Role.OPERATOR, "server1")
    identity = await verifier.verify(key)
    assert (identity.key_id, identity.role, identity.server) == (key.split("_")[1], Role.OPERATOR, "server1")


async def test_an_admin_has_access_to_all_servers(verifier: KeyVerifier, database: Database) -> None:
    assert (await verifier.verify(database.add(Role.ADMIN, "server1"))).server is None


async def test_a_key_without_a_server_is_rejected(verifier: KeyVerifier, database: Database) -> None:
    with pytest.raises(UnauthorizedError):
        await verifier.verify(database.add(Role.OPERATOR, None))


async def test_the_id_alone_is_not_enough(verifier: KeyVerifier, database: Database) -> None:
    key = database.add(Role.ADMIN)
    await verifier.verify(key)
    for wrong in (key[:-1], key + "A", key[:12] + "B" * 43):
        with pytest.raises(UnauthorizedError):
            await verifier.verify(wrong)


@pytest.mark.parametrize("key", [None, "", "bd_", "bd_0123abcd_short", "0123abcd", "bd_0123ABCD_" + "x" * 43])
async def test_malformed_keys_are_not_looked_up(verifier: KeyVerifier, database: Database, key: str | None) -> None:
    with pytest.raises(UnauthorizedError):
        await verifier.verify(key)
    assert database.asked == 0


async def test_lookups_are_cached(verifier: KeyVerifier, database: Database, clock: Clock) -> None:
    key = database.add(Role.ADMIN)
    for _ in range(5):
        await verifier.verify(key)
    assert database.asked == 1
    clock.now += CACHE_SECONDS
    await verifier.verify(key)
    assert database.asked == 2


async def test_a_revoked_key_stops_working_when_the_cache_expires(
    verifier: KeyVerifier, database: Database, clock: Clock
) -> None:
    key = database.add(Role.ADMIN)
    await verifier.verify(key)
    row = database.rows[key.split("_")[1]]
    database.rows[row.id] = row.model_copy(update={"revoked_at": datetime.now(UTC)})
    await verifier.verify(key)
    clock.now += CACHE_SECONDS
    with pytest.raises(UnauthorizedError):
        await verifier.verify(key)


async def test_a_forgotten_key_is_looked_up_again(verifier: KeyVerifier, database: Database) -> None:
    key = database.add(Role.ADMIN)
    await verifier.verify(key)
    database.rows.clear()
    verifier.forget(key.split("_")[1])
    with pytest.raises(UnauthorizedError):
        await verifier.verify(key)


async def test_a_lookup_during_a_revocation_is_not_cached(database: Database) -> None:
    key = database.add(Role.ADMIN)

    async def find(key_id: str) -> ApiKey | None:
        found = await database.find(key_id)
        if found is not None:  # the key is revoked while the row is on its way
            database.rows.clear()
            keys.forget(key_id)
        return found

    keys = KeyVerifier(find)
    caller = await keys.verify(key)
    with pytest.raises(UnauthorizedError):
        await keys.require_unrevoked(caller)
    with pytest.raises(UnauthorizedError):
        await keys.verify(key)


async def test_no_access_while_the_database_is_unavailable(
    verifier: KeyVerifier, database: Database, clock: Clock
) -> None:
    key = database.add(Role.ADMIN)
    await verifier.verify(key)
    database.away = True
    await verifier.verify(key)  # still cached
    clock.now += CACHE_SECONDS
    with pytest.raises(ConnectionRefusedError):
        await verifier.verify(key)


async def test_the_cache_is_bounded(verifier: KeyVerifier, database: Database) -> None:
    for number in range(CACHED_IDS + 10):
        with pytest.raises(UnauthorizedError):
            await verifier.verify(f"bd_{number:08x}_" + "A" * 43)
    assert len(verifier._unknown) == CACHED_IDS


async def test_unknown_ids_displace_no_key(verifier: KeyVerifier, database: Database) -> None:
    key = database.add(Role.ADMIN)
    await verifier.verify(key)
    for number in range(CACHED_IDS + 10):
        with pytest.raises(UnauthorizedError):
            await verifier.verify(f"bd_{number:08x}_" + "A" * 43)
    database.away = True
    await verifier.verify(key)  # still cached


async def test_callers_without_a_key_occupy_few_connections(clock: Clock, database: Database) -> None:
    looking: list[str] = []
    answer = asyncio.Event()
    key = database.add(Role.ADMIN)

    async def find(key_id: str) -> ApiKey | None:
        looking.append(key_id)
        if key_id not in database.rows:
            await answer.wait()
        return database.rows.get(key_id)

    verifier = KeyVerifier(find, clock=clock)
    await verifier.verify(key)
    others = [asyncio.create_task(verifier.verify(f"bd_{number:08x}_" + "A" * 43)) for number in range(20)]
    await asyncio.sleep(0)
    clock.now += CACHE_SECONDS
    await verifier.verify(key)
    assert len(looking) == 2 + LOOKUPS
    answer.set()
    outcomes = await asyncio.gather(*others, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {UnauthorizedError}


async def test_roles(verifier: KeyVerifier, database: Database) -> None:
    viewer = await verifier.verify(database.add(Role.VIEWER, "server1"))
    operator = await verifier.verify(database.add(Role.OPERATOR, "server1"))
    admin = await verifier.verify(database.add(Role.ADMIN))
    with pytest.raises(ForbiddenError):
        viewer.require_writer()
    operator.require_writer()
    with pytest.raises(ForbiddenError):
        operator.require_admin()
    admin.require_admin()


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("headers", "plain", "with_basic"),
    [
        ({}, None, None),
        ({"x-api-key": " k "}, "k", "k"),
        ({"authorization": "Bearer k"}, "k", "k"),
        ({"authorization": "bearer  k"}, "k", "k"),
        ({"authorization": "Bearer"}, None, None),
        ({"authorization": "k"}, None, None),
        ({"x-api-key": "a", "authorization": "Bearer b"}, "a", "a"),
        ({"authorization": basic("anyone:k")}, None, "k"),
        ({"authorization": basic(":k:l")}, None, "k:l"),
        ({"authorization": basic("anyone")}, None, None),
        ({"authorization": "Basic ???"}, None, None),
        ({"authorization": "Basic " + base64.b64encode(b"\xff:\xff").decode()}, None, None),
    ],
)
def test_headers_that_carry_a_key(headers: dict[str, str], plain: str | None, with_basic: str | None) -> None:
    assert presented_key(headers) == plain
    assert presented_key(headers, basic=True) == with_basic
