"""API keys: shown once, stored hashed, revoked at once."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.integration.api.conftest import Client, Fleet, problem


async def test_a_key_is_shown_once_and_works(admin: httpx.AsyncClient, client: Client, fleet: Fleet) -> None:
    made = await admin.post("/api/keys", json={"name": "CI", "role": "operator", "serverName": "server1"})
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    key = made.json()["key"]
    assert (await client(key).post("/api/bots", json={"name": "x"})).status_code == 201
    listed = await admin.get("/api/keys")
    assert key not in listed.text
    [mine] = [item for item in listed.json()["items"] if item["id"] == made.json()["id"]]
    assert set(mine) == {"id", "name", "role", "serverName", "createdAt", "revokedAt"}
    [(rows,)] = await fleet.sql("SELECT jsonb_agg(k)::text FROM api_keys k")
    assert key.split("_", 2)[2] not in rows


async def test_a_revoked_key_stops_at_once(admin: httpx.AsyncClient, client: Client) -> None:
    made = (await admin.post("/api/keys", json={"name": "x", "role": "viewer", "serverName": "server1"})).json()
    holder = client(made["key"])
    assert (await holder.get("/api/bots")).status_code == 200
    for _ in range(2):
        assert (await admin.delete(f"/api/keys/{made['id']}")).status_code == 204
    problem(await holder.get("/api/bots"), 401, "unauthorized")
    [row] = [item for item in (await admin.get("/api/keys")).json()["items"] if item["id"] == made["id"]]
    assert row["revokedAt"]


async def test_the_last_admin_key_cannot_be_revoked(admin: httpx.AsyncClient, admin_key: str) -> None:
    problem(await admin.delete(f"/api/keys/{admin_key.split('_')[1]}"), 409, "last-admin-key")
    assert (await admin.get("/api/bots")).status_code == 200


async def test_revoking_both_admin_keys_concurrently_leaves_one(
    admin: httpx.AsyncClient, admin_key: str, fleet: Fleet
) -> None:
    other = (await admin.post("/api/keys", json={"name": "second", "role": "admin"})).json()["id"]
    answers = await asyncio.gather(*(admin.delete(f"/api/keys/{key}") for key in (other, admin_key.split("_")[1])))
    assert sorted(answer.status_code for answer in answers) == [204, 409]
    assert await fleet.sql("SELECT count(*) FROM api_keys WHERE role = 'admin' AND revoked_at IS NULL") == [(1,)]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x"},
        {"name": "x", "role": "root"},
        {"name": "x", "role": "operator"},
        {"name": "x", "role": "viewer", "serverName": None},
        {"name": "x", "role": "admin", "serverName": "server1"},
        {"name": "a\x00b", "role": "admin"},
        {"name": "x", "role": "admin", "key": "bd_mine"},
    ],
)
async def test_invalid_keys_are_rejected(admin: httpx.AsyncClient, body: dict[str, Any]) -> None:
    problem(await admin.post("/api/keys", json=body), 422, "invalid-input")


async def test_the_server_must_exist(admin: httpx.AsyncClient) -> None:
    body = {"name": "x", "role": "viewer", "serverName": "nowhere"}
    problem(await admin.post("/api/keys", json=body), 404, "unknown-server")


@pytest.mark.parametrize("key", ["01234567", "nokey", "%00", "0123456g"])
async def test_unknown_keys(admin: httpx.AsyncClient, key: str) -> None:
    problem(await admin.delete(f"/api/keys/{key}"), 404, "not-found")


async def test_pages(admin: httpx.AsyncClient) -> None:
    for number in range(3):
        await admin.post("/api/keys", json={"name": f"key {number}", "role": "admin"})
    first = (await admin.get("/api/keys?limit=3")).json()
    second = (await admin.get(f"/api/keys?limit=3&next={first['next']}")).json()
    ids = [item["id"] for item in first["items"] + second["items"]]
    assert len(ids) == 4
    assert ids == sorted(set(ids))
    assert second["next"] is None
