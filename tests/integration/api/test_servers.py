"""Servers: tenants with a number of bots."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.integration.api.conftest import Fleet, problem


async def test_a_new_server_has_botcount_as_maximum(admin: httpx.AsyncClient) -> None:
    made = await admin.post("/api/servers", json={"name": "Berlin-2"})
    assert made.status_code == 201
    assert made.headers["location"] == "/api/servers/Berlin-2"
    body = made.json()
    assert body.pop("createdAt")
    assert body == {
        "name": "Berlin-2",
        "maxBots": 7,
        "bots": 0,
        "phases": {},
        "controller": {"active": False, "seenAt": None, "engineId": None, "refused": None},
    }
    assert (await admin.post("/api/servers", json={"name": "none", "maxBots": 0})).json()["maxBots"] == 0


async def test_a_name_is_unique(admin: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(admin.post("/api/servers", json={"name": "twin"}) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 4
    problem(await admin.post("/api/servers", json={"name": "server1"}), 409, "already-exists")


async def test_bots_are_counted_by_phase(admin: httpx.AsyncClient, fleet: Fleet, bot: str) -> None:
    for name in ("bot-2", "bot-3", "bot-4"):
        await admin.post("/api/bots", json={"id": name, "name": name})
    await fleet.observe("bot-2", phase="online")
    await fleet.observe("bot-3", phase="online")
    await admin.delete("/api/bots/bot-3")
    server = (await admin.get("/api/servers/server1")).json()
    assert server["bots"] == 4
    assert server["phases"] == {"pending": 2, "online": 1, "stopping": 1}


async def test_a_controller_is_active_while_it_reports(admin: httpx.AsyncClient, fleet: Fleet) -> None:
    await fleet.sql("UPDATE servers SET controller = '10.0.0.1:9090', controller_seen_at = now()")
    seen = (await admin.get("/api/servers/server1")).json()["controller"]
    assert seen["active"] is True
    assert seen["seenAt"]
    await fleet.sql("UPDATE servers SET controller_seen_at = now() - interval '31 seconds'")
    assert (await admin.get("/api/servers/server1")).json()["controller"]["active"] is False
    await fleet.sql("UPDATE servers SET controller_seen_at = NULL")
    assert (await admin.get("/api/servers/server1")).json()["controller"]["active"] is False


async def test_a_controller_on_another_engine_is_reported_while_it_waits(
    admin: httpx.AsyncClient, fleet: Fleet
) -> None:
    await fleet.sql("UPDATE servers SET engine_id = 'A', refused_engine_id = 'B', refused_at = now()")
    controller = (await admin.get("/api/servers/server1")).json()["controller"]
    assert controller["engineId"] == "A"
    assert controller["refused"].pop("seenAt")
    assert controller["refused"] == {"engineId": "B"}
    assert (await admin.get("/health")).json()["serversOnAnotherEngine"] == ["server1"]
    await fleet.sql("UPDATE servers SET refused_at = now() - interval '31 seconds'")
    [listed] = (await admin.get("/api/servers")).json()["items"]
    assert listed["controller"]["refused"] is None
    assert (await admin.get("/health")).json()["serversOnAnotherEngine"] == []


async def test_a_lower_maximum_only_prevents_new_bots(admin: httpx.AsyncClient, bot: str) -> None:
    answer = await admin.patch("/api/servers/server1", json={"maxBots": 0})
    assert (answer.json()["maxBots"], answer.json()["bots"]) == (0, 1)
    problem(await admin.post("/api/bots", json={"name": "next"}), 409, "limit-reached")
    assert (await admin.get(f"/api/bots/{bot}")).status_code == 200


async def test_pages(admin: httpx.AsyncClient) -> None:
    for name in ("a", "b"):
        await admin.post("/api/servers", json={"name": name})
    first = (await admin.get("/api/servers?limit=2")).json()
    assert [server["name"] for server in first["items"]] == ["a", "b"]
    second = (await admin.get(f"/api/servers?limit=2&next={first['next']}")).json()
    assert [server["name"] for server in second["items"]] == ["server1"]
    assert second["next"] is None


@pytest.mark.parametrize(
    "body",
    [{}, {"name": ""}, {"name": "a b"}, {"name": "../x"}, {"name": "x" * 33}, {"name": "x", "maxBots": -1},
     {"name": "x", "maxBots": 1001}, {"name": "x\n"}, {"name": "x", "epoch": 1}],
)  # fmt: skip
async def test_invalid_servers(admin: httpx.AsyncClient, body: dict[str, Any]) -> None:
    problem(await admin.post("/api/servers", json=body), 422, "invalid-input")


@pytest.mark.parametrize("name", ["nowhere", "a%00b", "%2e%2e", "x" * 40])
async def test_unknown_servers(admin: httpx.AsyncClient, name: str) -> None:
    problem(await admin.get(f"/api/servers/{name}"), 404, "not-found")
    problem(await admin.patch(f"/api/servers/{name}", json={"maxBots": 1}), 404, "not-found")
