"""Bots of two servers with the same id: a tenant only ever reaches its own, and an admin names the server."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest
from starlette.types import Receive, Scope, Send

from bot_runtime.contract import Qr
from tests.integration.api.conftest import ADDRESS, Fleet, problem
from tests.integration.api.fake_runtime import NOW, FakeRuntime, listening
from tests.integration.api.test_access import OPEN, ROUTES

BOT = "bot-1"
GROUP = "120363041234567890@g.us"
FILE = "3EB0C431C26A1916E07E"
MINE, THEIRS = "server1", "server2"
OF_BOTS = [(method, path) for method, path in ROUTES if re.match(r"/api/(bots|whatsapp/sessions)/\{id\}", path)]
BODIES = {
    "PATCH /api/bots/{id}": {"name": "New"},
    "POST /api/bots/{id}/messages": {"to": "4917012345", "message": "x"},
    "POST /api/whatsapp/sessions/{id}/messages": {"to": "4917012345", "message": "x"},
}
TABLES = ("bots", "messages", "commands", "bot_events", "groups")


Sql = Callable[[str], Awaitable[list[Any]]]
"""Runs one statement on a connection of its own; its rows."""


def marker(server: str) -> str:
    """Occurs in everything that belongs to the bot of a server, and nowhere else."""
    return f"of-{server}"


@dataclass
class Runtimes:
    """The endpoints of both bots, on one port: the token tells which of them is meant."""

    by_server: dict[str, FakeRuntime]
    asked: list[str]
    """The servers of the bots that were asked for something."""
    port: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        token = dict(scope["headers"])[b"authorization"].decode().removeprefix("Bearer ")
        [server] = [server for server, runtime in self.by_server.items() if runtime.token == token]
        self.asked.append(server)
        await self.by_server[server].app()(scope, receive, send)


@pytest.fixture
async def runtimes() -> AsyncIterator[Runtimes]:
    fakes = {
        server: FakeRuntime(
            token=f"token-{marker(server)}",
            qr=Qr(code=marker(server), expires_at=NOW),
            media={FILE: ("image/png", None, marker(server).encode())},
        )
        for server in (MINE, THEIRS)
    }
    found = Runtimes(fakes, [])
    async with listening(found) as found.port:
        yield found


@pytest.fixture
async def sql(database_url: str) -> AsyncIterator[Sql]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:

        async def run(statement: str) -> list[Any]:
            cursor = await connection.execute(statement)  # type: ignore[call-overload, unused-ignore]
            return list(await cursor.fetchall()) if cursor.description else []

        yield run


@pytest.fixture
def runtime_port(runtimes: Runtimes) -> int:
    return runtimes.port


async def create_both(sql: Sql) -> None:
    """A new bot on each server, with everything that a bot can have."""
    await sql("DELETE FROM bots")
    for server in (MINE, THEIRS):
        mark = marker(server)
        data, last_exit = json.dumps({"text": mark}), json.dumps({"exitCode": 1, "logs": [mark]})
        await sql(
            "INSERT INTO bots (id, server_name, name, approval_status, phone_number, runtime_token) "
            f"VALUES ('{BOT}', '{server}', '{mark}', 'approved', '491701234567', 'token-{mark}')"
        )
        for table, values in (
            ("messages (server_name, bot_key, id, to_chat, content, request_hash)", f"'{mark}', 'x', '{data}', ''"),
            ("bot_events (server_name, bot_key, type, data, timestamp)", f"'error', '{data}', now()"),
            ("groups (server_name, bot_key, id, subject, description)", f"'{GROUP}', '{mark}', ''"),
            ("commands (server_name, bot_key, id, name, response)", f"md5('{mark}'), 'hours', '{mark}'"),
        ):
            await sql(f"INSERT INTO {table} SELECT server_name, key, {values} FROM bots WHERE name = '{mark}'")
        await sql(
            "INSERT INTO group_members (bot_key, group_id, id, admin) "
            f"SELECT key, '{GROUP}', '{mark}', true FROM bots WHERE name = '{mark}'"
        )
        await sql(
            f"UPDATE bot_status SET phase = 'degraded', message = '{mark}', address = '{ADDRESS}', "
            f"last_exit = '{last_exit}', observed_generation = 1 WHERE server_name = '{server}'"
        )


async def rows(sql: Sql, server: str) -> list[Any]:
    """Everything that is stored of the bot of a server."""
    columns = (f"(SELECT jsonb_agg(t) FROM {table} t WHERE server_name = '{server}')" for table in TABLES)
    return await sql(f"SELECT {', '.join(columns)}")


def url(path: str, server: str) -> str:
    """The path for the bot of a server, without naming the server."""
    message = FILE if "/media/" in path else marker(server)
    return path.replace("{id}", BOT).replace("{messageId}", message).replace("{groupId}", GROUP)


async def test_no_route_reaches_the_bot_of_another_server(
    operator: httpx.AsyncClient, stranger: httpx.AsyncClient, admin: httpx.AsyncClient, sql: Sql, runtimes: Runtimes
) -> None:
    others = {path for _, path in ROUTES if "{id}" in path} - {path for _, path in OF_BOTS}
    assert others == {"/api/keys/{id}"}

    async def call(client: httpx.AsyncClient, server: str, **query: str) -> httpx.Response:
        """Call the route; the bot of the other server is not changed, not asked for anything, and not in the answer."""
        other = THEIRS if server == MINE else MINE
        before = await rows(sql, other)
        runtimes.asked.clear()
        body = None if method == "GET" else BODIES.get(f"{method} {path}", {})
        response = await client.request(method, url(path, server), json=body, params=query)
        assert other not in runtimes.asked, (method, path)
        assert marker(other) not in response.text, (method, path, response.text)
        assert await rows(sql, other) == before, (method, path)
        return response

    for method, path in OF_BOTS:
        await create_both(sql)
        present = {server: await rows(sql, server) for server in (MINE, THEIRS)}
        refused = await call(admin, MINE)
        assert refused.status_code == 409, (method, path, refused.text)
        assert "serverName" in refused.text
        assert not re.search(f"{MINE}|{THEIRS}", refused.text), "lists no server"
        assert (await call(operator, MINE, serverName=THEIRS)).status_code == 404, (method, path)
        assert (await call(admin, MINE, serverName="server3")).status_code == 404, (method, path)
        assert {server: await rows(sql, server) for server in present} == present, (method, path)
        assert runtimes.asked == []

        for client, server, query in ((operator, MINE, {}), (admin, THEIRS, {"serverName": THEIRS})):
            response = await call(client, server, **query)
            assert response.is_success, (method, path, response.text)
            if method == "GET":
                assert marker(server) in response.text, (method, path)
            elif not path.endswith(("/approve", "/start", "/messages")):
                assert await rows(sql, server) != present[server] or runtimes.asked, (method, path)
    await create_both(sql)
    for path in (f"/api/bots/{BOT}/messages/{marker(MINE)}", f"/api/bots/{BOT}/messages/{marker(THEIRS)}"):
        answers = [(await client.get(path)).status_code for client in (operator, stranger)]
        assert answers == ([200, 404] if path.endswith(MINE) else [404, 200])


async def test_no_response_about_all_bots_contains_anything_of_another_server(
    operator: httpx.AsyncClient, viewer: httpx.AsyncClient, stranger: httpx.AsyncClient, sql: Sql
) -> None:
    """Every path without ids, so that a new one cannot forget the scope."""
    await create_both(sql)
    lists = [path for method, path in ROUTES if method == "GET" and "{" not in path and path not in OPEN]
    private = ["/api/keys"]
    for path in lists:
        assert marker(THEIRS) not in (await viewer.get(path)).text, path
        for client, other in ((operator, THEIRS), (viewer, THEIRS), (stranger, MINE)):
            for query in (
                {},
                {"serverName": other},
                {"limit": "200"},
                {"next": "a"},
                {"next": "0" * 32},
                {"next": "0"},
            ):
                response = await client.get(path, params=query)
                if path in private:
                    problem(response, 403, "forbidden")
                assert not re.search(f"{marker(other)}|{other}", response.text), (path, query, response.text)


async def test_an_id_of_another_server_is_neither_taken_nor_revealed(
    operator: httpx.AsyncClient, stranger: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    body = {"id": BOT, "name": "Bot"}
    answers = await asyncio.gather(*(client.post("/api/bots", json=body) for client in (operator, stranger) * 4))
    assert sorted(answer.status_code for answer in answers) == [201] * 2 + [409] * 6
    created = [answer.json()["serverName"] for answer in answers if answer.status_code == 201]
    assert sorted(created) == [MINE, THEIRS]
    problem(await admin.post("/api/bots", json={**body, "serverName": THEIRS}), 409, "already-exists")
    first, second = [(await client.get(f"/api/bots/{BOT}")).json() for client in (operator, stranger)]
    assert (first["serverName"], second["serverName"]) == (MINE, THEIRS)
    assert first.keys() == second.keys()
    assert not {"key", "uid"} & first.keys()


async def test_an_admin_finds_what_was_created_at_its_location(
    admin: httpx.AsyncClient, operator: httpx.AsyncClient, stranger: httpx.AsyncClient, fleet: Fleet
) -> None:
    await operator.post("/api/bots", json={"id": BOT, "name": "Mine"})
    created = await admin.post("/api/bots", json={"id": BOT, "name": "Theirs", "serverName": THEIRS})
    assert (await admin.get(created.headers["Location"])).json() == created.json()
    await fleet.sql("UPDATE bots SET approval_status = 'approved'")
    named = {"serverName": THEIRS}
    message = {"to": "4917012345", "message": "x"}
    sent = await admin.post(f"/api/bots/{BOT}/messages", json=message, params=named)
    assert (await admin.get(sent.headers["Location"])).json() == sent.json()
    assert sent.json()["botId"] == BOT
    problem(await operator.get(sent.headers["Location"]), 404, "not-found")


async def test_calls_without_the_server_work_as_long_as_only_one_has_the_id(
    admin: httpx.AsyncClient, operator: httpx.AsyncClient, stranger: httpx.AsyncClient, fleet: Fleet
) -> None:
    await stranger.post("/api/bots", json={"id": BOT, "name": "Theirs"})
    assert (await admin.get(f"/api/bots/{BOT}")).json()["serverName"] == THEIRS
    await operator.post("/api/bots", json={"id": BOT, "name": "Mine"})
    assert "serverName" in problem(await admin.get(f"/api/bots/{BOT}"), 409, "ambiguous-bot")
    await fleet.sql("DELETE FROM bots WHERE server_name = 'server2'")
    assert (await admin.post(f"/api/bots/{BOT}/approve")).json()["serverName"] == MINE


async def test_pages_of_all_servers_contain_each_bot_once(
    admin: httpx.AsyncClient, operator: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    for client in (stranger, operator):
        for name in ("a", "b", "c"):
            assert (await client.post("/api/bots", json={"id": name, "name": name})).status_code == 201

    async def pages(client: httpx.AsyncClient, **query: Any) -> list[tuple[str, str]]:
        seen: list[tuple[str, str]] = []
        cursor: dict[str, str] = {}
        while not seen or cursor:
            page = (await client.get("/api/bots", params={**query, **cursor})).json()
            seen += [(bot["id"], bot["serverName"]) for bot in page["items"]]
            cursor = {"next": page["next"]} if page["next"] else {}
        return seen

    everything = [(name, server) for name in ("a", "b", "c") for server in (MINE, THEIRS)]
    for limit in (1, 2, 3, 4):
        assert await pages(admin, limit=limit) == everything
        assert await pages(admin, limit=limit, serverName=THEIRS) == [bot for bot in everything if bot[1] == THEIRS]
        assert await pages(operator, limit=limit) == [bot for bot in everything if bot[1] == MINE]
    rest = (await admin.get("/api/bots", params={"next": "a"})).json()["items"]
    assert len(rest) == 4, "a cursor of an earlier version"


async def test_responses_about_all_bots(
    admin: httpx.AsyncClient, operator: httpx.AsyncClient, stranger: httpx.AsyncClient, sql: Sql
) -> None:
    await create_both(sql)
    await operator.post("/api/bots", json={"id": "only", "name": "Only"})
    path = "/api/bots/containers/health"
    assert list((await admin.get(path)).json()) == [f"{MINE}:{BOT}", f"{THEIRS}:{BOT}", "only"]
    for client, query in ((stranger, {}), (admin, {"serverName": THEIRS})):
        health = (await client.get(path, params=query)).json()
        assert {bot: item["containerId"] for bot, item in health.items()} == {BOT: f"{THEIRS}:{BOT}"}
    assert (await operator.get(path, params={"serverName": THEIRS})).json() == {}
    sessions = "/api/whatsapp/sessions"
    assert (await admin.get(sessions)).json()["count"] == 3
    named = (await admin.get(sessions, params={"serverName": THEIRS})).json()
    assert [item["lastError"] for item in named["sessions"]] == [marker(THEIRS)]
    totals = (await admin.get("/api/whatsapp/metrics", params={"serverName": THEIRS})).json()
    assert totals["metrics"]["totalSessions"] == 1
    metrics = (await admin.get("/metrics")).text
    for server in (MINE, THEIRS):
        assert f'bot_healthy{{bot="{BOT}",server="{server}"}} 0' in metrics


async def test_the_query_names_the_server_of_a_new_bot_and_of_a_new_command(
    admin: httpx.AsyncClient, operator: httpx.AsyncClient, sql: Sql, stranger: httpx.AsyncClient
) -> None:
    await create_both(sql)
    theirs, bot, command = {"serverName": THEIRS}, {"id": "new", "name": "New"}, {"name": "new", "response": "x"}
    assert (await admin.post("/api/bots", json=bot, params=theirs)).json()["serverName"] == THEIRS
    problem(await operator.post("/api/bots", json=bot, params=theirs), 403, "forbidden")
    problem(await admin.post("/api/bots", json=bot, params={"serverName": "nowhere"}), 404, "unknown-server")
    of_bot = (await admin.post("/api/commands", json={**command, "botId": BOT}, params=theirs)).json()
    assert (of_bot["scope"], of_bot["serverName"]) == ("bot", THEIRS)
    of_server = (await admin.post("/api/commands", json=command, params=theirs)).json()
    assert (of_server["scope"], of_server["serverName"]) == ("server", THEIRS)
    problem(await operator.post("/api/commands", json=command, params=theirs), 404, "not-found")
    for path, new in (("/api/bots", {**bot, "id": "newer"}), ("/api/commands", {**command, "name": "newer"})):
        mixed = {**new, "serverName": MINE}
        problem(await admin.post(path, json=mixed, params=theirs), 409, "ambiguous-server")
        assert (await admin.post(path, json=mixed, params={"serverName": MINE})).json()["serverName"] == MINE


async def test_commands_name_the_server_of_their_bot(
    admin: httpx.AsyncClient, operator: httpx.AsyncClient, sql: Sql, stranger: httpx.AsyncClient
) -> None:
    await create_both(sql)
    new = {"name": "new", "response": "x", "botId": BOT}
    problem(await admin.post("/api/commands", json=new), 409, "ambiguous-bot")
    problem(await operator.post("/api/commands", json={**new, "serverName": THEIRS}), 404, "not-found")
    before = dict(await sql("SELECT server_name, config_generation FROM bots"))
    created = (await admin.post("/api/commands", json={**new, "serverName": THEIRS})).json()
    assert (created["scope"], created["botId"], created["serverName"]) == ("bot", BOT, THEIRS)
    after = dict(await sql("SELECT server_name, config_generation FROM bots"))
    assert {server for server in after if after[server] > before[server]} == {THEIRS}
    assert (await operator.post("/api/commands", json=new)).json()["serverName"] == MINE

    async def listed(client: httpx.AsyncClient, **query: str) -> list[tuple[str, str]]:
        items = (await client.get("/api/commands", params={"botId": BOT, **query})).json()["items"]
        return sorted((item["serverName"], item["name"]) for item in items)

    mine, theirs = [(MINE, "hours"), (MINE, "new")], [(THEIRS, "hours"), (THEIRS, "new")]
    assert await listed(admin) == mine + theirs
    assert await listed(admin, serverName=THEIRS) == await listed(stranger) == theirs
    assert (await admin.patch(f"/api/commands/{created['id']}", json={"name": "newer"})).json()["botId"] == BOT


async def test_the_same_idempotency_key_for_both_bots(
    operator: httpx.AsyncClient, stranger: httpx.AsyncClient, sql: Sql
) -> None:
    await create_both(sql)
    headers = {"Idempotency-Key": "order 17"}
    path = f"/api/bots/{BOT}/messages"
    ids = {
        (await client.post(path, json={"to": "4917012345", "message": text}, headers=headers)).json()["id"]
        for client, text in ((operator, "a"), (stranger, "b"), (operator, "a"))
    }
    assert len(ids) == 2


async def test_a_session_of_the_pool_is_created_where_the_caller_says(
    admin: httpx.AsyncClient, operator: httpx.AsyncClient, stranger: httpx.AsyncClient, fleet: Fleet, monkeypatch: Any
) -> None:
    monkeypatch.setattr("orchestrator.api.pool.routes.QR_WAIT_SECONDS", 0)
    path, body = "/api/whatsapp/sessions", {"companyId": "962302"}
    assert (await stranger.post(path, json=body)).status_code == 200
    assert (await admin.post(path, json=body)).status_code == 200, "the only one there is"
    assert await fleet.sql("SELECT server_name FROM bots") == [(THEIRS,)]
    assert (await admin.post(path, json=body, params={"serverName": MINE})).status_code == 200
    assert await fleet.sql("SELECT count(DISTINCT server_name) FROM bots") == [(2,)]
    assert (await admin.post(path, json=body)).status_code == 409
    assert (await operator.post(path, json=body)).status_code == 200
    refused = await operator.post(path, json={"companyId": "962303"}, params={"serverName": THEIRS})
    assert refused.status_code == 403
    assert await fleet.sql("SELECT count(*) FROM bots") == [(2,)]


@pytest.mark.parametrize("query", ["serverName=", "serverName=%00", "serverName=a.b", "serverName=a&serverName=b"])
async def test_a_server_that_is_not_named_clearly_is_refused(
    admin: httpx.AsyncClient, operator: httpx.AsyncClient, query: str
) -> None:
    await operator.post("/api/bots", json={"id": BOT, "name": "Mine"})
    for path in (f"/api/bots/{BOT}", "/api/bots", "/api/bots/containers/health"):
        assert "serverName" in problem(await admin.get(f"{path}?{query}"), 422, "invalid-input")
    assert (await admin.delete(f"/api/bots/{BOT}?{query}")).status_code == 422
    assert (await operator.get(f"/api/bots/{BOT}")).json()["status"]["phase"] == "pending"
