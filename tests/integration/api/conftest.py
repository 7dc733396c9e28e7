"""The API in this process, on a real database; keys of every role; helpers that write what a controller would."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from orchestrator.api.app import create_app
from orchestrator.db.keys import hash_key, new_key
from orchestrator.settings import Settings
from tests.integration.api.fake_runtime import FakeRuntime, listening

ADDRESS = "127.0.0.1"
HELLO = {"to": "+49 170 7654321", "message": "Hello 👋\nthere"}
CHAT = "491707654321@s.whatsapp.net"


class Fleet:
    """Direct SQL, for what the controller writes and what the API does not expose."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def sql(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """Run one statement; its rows."""
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            cursor = await connection.execute(statement, values)  # type: ignore[call-overload, unused-ignore]
            return list(await cursor.fetchall()) if cursor.description else []

    async def observe(self, bot_id: str, **columns: Any) -> None:
        """Write a bot's status as its controller would, with the current generation as observed."""
        [(generation,)] = await self.sql("SELECT generation FROM bots WHERE id = %(id)s", id=bot_id)
        columns.setdefault("observed_generation", generation)
        sets = "".join(f", {name} = %({name})s" for name in columns)
        values = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in columns.items()}
        await self.sql(
            f"UPDATE bot_status SET updated_at = now() {sets} FROM bots WHERE bot_key = key AND bots.id = %(bot_id)s",
            bot_id=bot_id,
            **values,
        )

    async def bot_row(self, bot_id: str) -> dict[str, Any]:
        """The row of a bot."""
        [(row,)] = await self.sql("SELECT to_jsonb(bots) FROM bots WHERE id = %(id)s", id=bot_id)
        return dict(row)

    async def event(self, bot_id: str, kind: str, data: dict[str, Any], *, server: str = "server1") -> int:
        """Add an event; its id."""
        [(number,)] = await self.sql(
            "INSERT INTO bot_events (server_name, bot_key, type, data, timestamp) "
            "SELECT server_name, key, %(type)s, %(data)s, now() "
            "FROM bots WHERE server_name = %(server)s AND id = %(bot)s "
            "RETURNING id",
            server=server,
            bot=bot_id,
            type=kind,
            data=json.dumps(data),
        )
        return int(number)

    async def key(self, role: str, server: str | None) -> str:
        """Create an API key."""
        key_id, key = new_key()
        await self.sql(
            "INSERT INTO api_keys (id, name, role, server_name, key_hash) "
            "VALUES (%(id)s, 'test', %(role)s, %(s)s, %(h)s)",
            id=key_id,
            role=role,
            s=server,
            h=hash_key(key),
        )
        return key


Client = Callable[[str | None], httpx.AsyncClient]


@pytest.fixture
def fleet(database_url: str) -> Fleet:
    return Fleet(database_url)


@pytest.fixture
def runtime_port() -> int:
    """Overridden where bots respond."""
    return 9


@pytest.fixture
async def app(database_url: str, runtime_port: int) -> AsyncIterator[FastAPI]:
    settings = Settings(database_url=database_url, database_pool_size=5, probe_timeout=2, botcount=7)
    application = create_app(settings, runtime_port=runtime_port)
    async with application.router.lifespan_context(application):
        yield application


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[Client]:
    """Creates clients with or without a key."""
    made: list[httpx.AsyncClient] = []

    def make(key: str | None) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        headers = {"X-Api-Key": key} if key else {}
        made.append(httpx.AsyncClient(transport=transport, base_url="http://botdock", headers=headers))
        return made[-1]

    yield make
    for each in made:
        await each.aclose()


@pytest.fixture
def admin(client: Client, admin_key: str) -> httpx.AsyncClient:
    return client(admin_key)


@pytest.fixture
def nobody(client: Client) -> httpx.AsyncClient:
    return client(None)


@pytest.fixture
async def operator(client: Client, fleet: Fleet) -> httpx.AsyncClient:
    """An operator of server1."""
    return client(await fleet.key("operator", "server1"))


@pytest.fixture
async def viewer(client: Client, fleet: Fleet) -> httpx.AsyncClient:
    """A viewer of server1."""
    return client(await fleet.key("viewer", "server1"))


@pytest.fixture
async def stranger(client: Client, fleet: Fleet) -> httpx.AsyncClient:
    """An operator of another server."""
    await fleet.sql("INSERT INTO servers (name, max_bots) VALUES ('server2', 20)")
    return client(await fleet.key("operator", "server2"))


@pytest.fixture
async def bot(operator: httpx.AsyncClient) -> str:
    """The id of a bot of server1 that waits for approval."""
    made = await operator.post("/api/bots", json={"id": "bot-1", "name": "Support", "phoneNumber": "+49 170 1234567"})
    assert made.status_code == 201, made.text
    return "bot-1"


@pytest.fixture
async def sender(bot: str, fleet: Fleet) -> str:
    """The path of the messages of a bot that can send."""
    await fleet.sql("UPDATE bots SET approval_status = 'approved'")
    return f"/api/bots/{bot}/messages"


@pytest.fixture
async def fake() -> AsyncIterator[FakeRuntime]:
    """A bot's endpoint on loopback."""
    runtime = FakeRuntime(token="unknown-yet")
    async with listening(runtime.app()) as port:
        runtime.port = port
        yield runtime


def problem(answer: httpx.Response, status: int, code: str) -> str:
    """Assert that a response is this problem; returns its detail."""
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["type"] == "about:blank"
    assert body["title"]
    return str(body["detail"])
