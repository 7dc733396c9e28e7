"""Commands: their scopes, access control, and updates of the configuration of the bots concerned."""

import asyncio
from typing import Any

import httpx
import pytest

from orchestrator.db.commands import MAX_COMMANDS
from tests.integration.api.conftest import Client, Fleet, problem

HOURS = {"name": "hours", "response": "9 to 17, {name}"}


@pytest.fixture
async def others(bot: str, operator: httpx.AsyncClient, stranger: httpx.AsyncClient) -> None:
    """A second bot of the server, and one of another server."""
    await operator.post("/api/bots", json={"id": "bot-2", "name": "Two"})
    await stranger.post("/api/bots", json={"id": "theirs", "name": "Theirs"})


async def generations(fleet: Fleet) -> dict[str, int]:
    return dict(await fleet.sql("SELECT id, config_generation FROM bots"))


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize(
    ("owner", "concerned", "scope"),
    [
        ({"botId": "bot-1"}, {"bot-1"}, "bot"),
        ({"serverName": "server1"}, {"bot-1", "bot-2"}, "server"),
        ({}, {"bot-1", "bot-2", "theirs"}, "global"),
    ],
)
async def test_changes_reach_the_bots_concerned_and_no_others(
    admin: httpx.AsyncClient, fleet: Fleet, owner: dict[str, str], concerned: set[str], scope: str
) -> None:
    before = await generations(fleet)
    wanted = {row[0]: row[1] for row in await fleet.sql("SELECT id, generation FROM bots")}

    async def changed() -> set[str]:
        nonlocal before
        now = await generations(fleet)
        result = {bot for bot in now if now[bot] > before[bot]}
        before = now
        return result

    made = await admin.post("/api/commands", json={**HOURS, **owner})
    assert made.status_code == 201, made.text
    assert made.json()["scope"] == scope
    assert await changed() == concerned
    path = made.headers["Location"]
    assert (await admin.get(path)).json() == made.json()
    patched = await admin.patch(path, json={"webhook": "https://example.com/hook?a=b"})
    assert (patched.json()["response"], patched.json()["webhook"]) == (None, "https://example.com/hook?a=b")
    assert await changed() == concerned
    assert (await admin.patch(path, json={"name": "hours"})).status_code == 200
    assert await changed() == set()
    assert (await admin.delete(path)).status_code == 204
    assert await changed() == concerned
    problem(await admin.get(path), 404, "not-found")
    assert {row[0]: row[1] for row in await fleet.sql("SELECT id, generation FROM bots")} == wanted


@pytest.mark.usefixtures("others")
async def test_who_can_read_and_change_which_commands(
    admin: httpx.AsyncClient, operator: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    for_all = (await admin.post("/api/commands", json=HOURS)).json()["id"]
    mine = (await operator.post("/api/commands", json={**HOURS, "botId": "bot-1"})).json()["id"]
    theirs = (await stranger.post("/api/commands", json={**HOURS, "serverName": "server2"})).json()["id"]

    async def seen(client: httpx.AsyncClient, **query: str) -> set[str]:
        return {item["id"] for item in (await client.get("/api/commands", params=query)).json()["items"]}

    assert await seen(admin) == {for_all, mine, theirs}
    assert await seen(operator) == {for_all, mine}
    assert await seen(operator, botId="bot-1") == {mine}
    assert await seen(operator, serverName="server2") == set()
    for method in ("GET", "PATCH", "DELETE"):
        problem(await operator.request(method, f"/api/commands/{theirs}", json={"name": "x"}), 404, "not-found")
    problem(await operator.patch(f"/api/commands/{for_all}", json={"name": "x"}), 403, "forbidden")
    problem(await operator.delete(f"/api/commands/{for_all}"), 403, "forbidden")
    problem(await operator.post("/api/commands", json=HOURS), 403, "forbidden")
    problem(await operator.post("/api/commands", json={**HOURS, "serverName": "server2"}), 404, "not-found")
    problem(await operator.post("/api/commands", json={**HOURS, "botId": "theirs"}), 404, "not-found")


@pytest.mark.usefixtures("others")
async def test_the_url_of_a_webhook_is_for_those_who_may_change_it(
    admin: httpx.AsyncClient, operator: httpx.AsyncClient, viewer: httpx.AsyncClient
) -> None:
    secret, origin = "https://hooks.example:8443/s3cret?token=s3cret", "https://hooks.example:8443/…"
    for_all = (await admin.post("/api/commands", json={"name": "x", "webhook": secret})).json()["id"]
    mine = (await operator.post("/api/commands", json={"name": "x", "webhook": secret, "botId": "bot-1"})).json()["id"]
    text = (await operator.post("/api/commands", json={**HOURS, "serverName": "server1"})).json()["id"]
    for client, shown in (
        (admin, {for_all: secret, mine: secret, text: None}),
        (operator, {for_all: origin, mine: secret, text: None}),
        (viewer, {for_all: origin, mine: origin, text: None}),
    ):
        items = (await client.get("/api/commands")).json()["items"]
        assert {item["id"]: item["webhook"] for item in items} == shown
        for command, webhook in shown.items():
            assert (await client.get(f"/api/commands/{command}")).json()["webhook"] == webhook


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "x"},
        {"name": "Up", "response": "x"},
        {"name": "a b", "response": "x"},
        {"name": "x" * 33, "response": "x"},
        {"name": "x", "response": ""},
        {"name": "x", "response": "y" * 4097},
        {"name": "x", "response": "a\x00b"},
        {"name": "x", "response": "a", "webhook": "https://a.example"},
        {"name": "x", "webhook": "ftp://a.example"},
        {"name": "x", "webhook": "https://user:secret@a.example"},
        {"name": "x", "webhook": "javascript:alert(1)"},
        {"name": "x", "webhook": "https://a.example/\nHost: b"},
        {"name": "x", "webhook": "https://"},
        {"name": "x", "response": "y", "botId": "../x"},
        {"name": "x", "response": "y", "more": 1},
    ],
)
async def test_invalid_commands(admin: httpx.AsyncClient, bot: str, body: dict[str, Any]) -> None:
    problem(await admin.post("/api/commands", json=body), 422, "invalid-input")


async def test_a_name_is_unique_per_scope_even_with_concurrent_requests(operator: httpx.AsyncClient, bot: str) -> None:
    bodies = [{**HOURS, "botId": bot}] * 10 + [{**HOURS, "serverName": "server1"}] * 10
    answers = await asyncio.gather(*(operator.post("/api/commands", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201] * 2 + [409] * 18
    other = await operator.post("/api/commands", json={**HOURS, "name": "other", "botId": bot})
    problem(await operator.patch(other.headers["Location"], json={"name": "hours"}), 409, "already-exists")


async def test_the_number_of_commands_is_limited(operator: httpx.AsyncClient, bot: str, fleet: Fleet) -> None:
    await fleet.sql(
        "INSERT INTO commands (id, server_name, bot_key, name, response) "
        "SELECT md5(n::text), server_name, key, 'c' || n, 'x' FROM bots, generate_series(1, %(n)s) n",
        n=MAX_COMMANDS,
    )
    problem(await operator.post("/api/commands", json={**HOURS, "botId": bot}), 409, "limit-reached")
    await fleet.sql("DELETE FROM commands")
    sizes = [
        (await operator.post("/api/commands", json={"name": f"c{n}", "response": "ä" * 4096, "botId": bot}))
        for n in range(17)
    ]
    assert [answer.status_code for answer in sizes] == [201] * 16 + [409]


async def test_pages(operator: httpx.AsyncClient, bot: str) -> None:
    made = {
        (await operator.post("/api/commands", json={**HOURS, "name": f"c{n}", "botId": bot})).json()["id"]
        for n in range(3)
    }
    first = (await operator.get("/api/commands", params={"limit": 2})).json()
    rest = (await operator.get("/api/commands", params={"limit": 2, "next": first["next"]})).json()
    assert {item["id"] for item in first["items"] + rest["items"]} == made
    assert rest["next"] is None


async def test_global_commands_and_changes_of_single_bots_do_not_deadlock(
    admin: httpx.AsyncClient, bot: str, operator: httpx.AsyncClient, client: Client
) -> None:
    await operator.post("/api/bots", json={"id": "bot-2", "name": "Two"})
    calls = []
    for number in range(8):
        calls += [
            admin.post("/api/commands", json={"name": f"g{number}", "response": "x"}),
            operator.post("/api/commands", json={"name": f"b{number}", "response": "x", "botId": "bot-2"}),
            operator.patch("/api/bots/bot-1", json={"settings": {"prefix": "!#"[number % 2]}}),
        ]
    answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} == {200, 201}
