"""Access control of every route: no key, a wrong key, a viewer, an operator of another server."""

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from orchestrator.api.app import ROUTERS, create_app
from orchestrator.settings import Settings
from tests.integration.api.conftest import Client, Fleet, problem

OPEN = {"/livez", "/readyz"}
WRONG = "bd_0123abcd_" + "A" * 43


def operations() -> Iterator[tuple[str, str]]:
    """Every method and path of the OpenAPI document."""
    app = create_app(Settings(database_url="postgresql://nobody@127.0.0.1:9/none"))
    for path, methods in app.openapi()["paths"].items():
        yield from ((method.upper(), path) for method in methods)


ROUTES = sorted(operations())
BOT_ROUTES = [(method, path) for method, path in ROUTES if path.startswith("/api/bots/{id}")]


def url(path: str, bot: str = "bot-1") -> str:
    return re.sub(r"\{name\}", "server1", path.replace("{id}", bot))


def refused(path: str, answer: httpx.Response, status: int, code: str) -> None:
    """Assert an error response; those of the session pool have their own format."""
    if not path.startswith("/api/whatsapp/"):
        problem(answer, status, code)
        return
    body = answer.json()
    assert (answer.status_code, body.keys(), body["success"]) == (status, {"success", "error"}, False)


def test_every_route_is_in_the_openapi_document() -> None:
    """A route that is not would be in no test that walks all routes."""
    app = create_app(Settings(database_url="postgresql://nobody@127.0.0.1:9/none"))
    routes = {(method, route.path) for route in app.state.routes for method in route.methods}
    assert routes - set(ROUTES) == {("GET", "/docs"), ("GET", "/docs/{name}")}
    assert len(app.router.routes) == len(ROUTERS) + 1, "the routers, and the route of the document"


@pytest.fixture
async def state(fleet: Fleet, bot: str) -> AsyncIterator[list[Any]]:
    """The rows before the test, which must be unchanged after it."""

    async def rows() -> list[Any]:
        return await fleet.sql(
            "SELECT (SELECT jsonb_agg(b) FROM bots b), (SELECT jsonb_agg(s) FROM servers s), "
            "(SELECT count(*) FROM api_keys WHERE revoked_at IS NULL)"
        )

    before = await rows()
    yield before
    assert await rows() == before


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route[1] not in OPEN])
class TestEveryRoute:
    async def test_without_a_key(self, nobody: httpx.AsyncClient, state: list[Any], method: str, path: str) -> None:
        answer = await nobody.request(method, url(path), content=b"{ not even json")
        refused(path, answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")

    async def test_with_a_wrong_key(self, client: Client, state: list[Any], method: str, path: str) -> None:
        refused(path, await client(WRONG).request(method, url(path)), 401, "unauthorized")


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route[0] != "GET"])
async def test_a_viewer_changes_nothing(viewer: httpx.AsyncClient, state: list[Any], method: str, path: str) -> None:
    refused(path, await viewer.request(method, url(path), json={}), 403, "forbidden")


@pytest.mark.parametrize(
    ("method", "path"),
    [route for route in ROUTES if "/api/keys" in route[1] or (route[0] != "GET" and "/api/servers" in route[1])],
)
async def test_an_operator_has_no_admin_rights(
    operator: httpx.AsyncClient, state: list[Any], method: str, path: str
) -> None:
    body = {"name": "x", "role": "admin", "maxBots": 9}
    problem(await operator.request(method, url(path), json=body), 403, "forbidden")


@pytest.mark.parametrize(("method", "path"), BOT_ROUTES)
async def test_a_bot_of_another_server_is_not_found(
    stranger: httpx.AsyncClient, fleet: Fleet, bot: str, method: str, path: str
) -> None:
    body = {"to": "4917012345", "message": "x"} if path.endswith("/messages") else {}
    theirs = await stranger.request(method, url(path), json=body)
    nobodys = await stranger.request(method, url(path, "no-such"), json=body)
    problem(theirs, 404, "not-found")
    assert theirs.text.replace(bot, "no-such") == nobodys.text
    assert (await fleet.bot_row(bot))["generation"] == 1


@pytest.mark.parametrize("odd", ["UPPER", "a" * 49, "-x", "a.b", "%00", "a%00b", "b%0aot", "%F0%9F%92%A9", "%ff"])
async def test_a_malformed_id_is_not_found(admin: httpx.AsyncClient, odd: str) -> None:
    for method, path in BOT_ROUTES:
        body = {"to": "4917012345", "message": "x"} if path.endswith("/messages") else {}
        problem(await admin.request(method, url(path, odd), json=body), 404, "not-found")


async def test_lists_contain_only_what_the_key_has_access_to(
    stranger: httpx.AsyncClient, operator: httpx.AsyncClient, bot: str
) -> None:
    await stranger.post("/api/bots", json={"id": "theirs", "name": "theirs"})
    for client, mine, server in [(stranger, "theirs", "server2"), (operator, bot, "server1")]:
        assert [each["id"] for each in (await client.get("/api/bots")).json()["items"]] == [mine]
        assert list((await client.get("/api/bots/containers/health")).json()) == [mine]
        assert [each["name"] for each in (await client.get("/api/servers")).json()["items"]] == [server]
        assert (await client.get("/health")).json()["bots"] == 1
        metrics = (await client.get("/metrics")).text
        assert set(re.findall(r'bot="([^"]*)"', metrics)) == {mine}
        assert set(re.findall(r'server="([^"]*)"', metrics)) == {server}
        assert "http_requests" not in metrics
    assert (await stranger.get("/api/bots?serverName=server1")).json()["items"] == []
    problem(await stranger.get("/api/servers/server1"), 404, "not-found")


async def test_a_viewer_reads_but_cannot_pair(viewer: httpx.AsyncClient, bot: str) -> None:
    assert (await viewer.get(f"/api/bots/{bot}")).status_code == 200
    assert (await viewer.get(f"/api/bots/{bot}/events")).status_code == 200
    problem(await viewer.get(f"/api/bots/{bot}/qr"), 403, "forbidden")


async def test_a_key_as_bearer_token(nobody: httpx.AsyncClient, admin_key: str) -> None:
    answer = await nobody.get("/api/bots", headers={"Authorization": f"Bearer {admin_key}"})
    assert answer.status_code == 200


async def test_basic_authentication_is_for_the_documentation_only(nobody: httpx.AsyncClient, admin_key: str) -> None:
    me = httpx.BasicAuth("anyone", admin_key)
    assert (await nobody.get("/docs", auth=me)).status_code == 200
    assert (await nobody.get("/openapi.json", auth=me)).status_code == 200
    problem(await nobody.get("/api/bots", auth=me), 401, "unauthorized")
    problem(await nobody.post("/api/bots", auth=me, json={"name": "x"}), 401, "unauthorized")


@pytest.mark.parametrize(
    "key", ["", " ", "x", "bd_", "bd_0123abcd_", "bd_zzzzzzzz_" + "A" * 43, "bd_0123abcd_" + "A" * 500, "b\xe4d"]
)
async def test_malformed_keys(nobody: httpx.AsyncClient, key: str) -> None:
    for header in ({"X-Api-Key": key}, {"Authorization": f"Bearer {key}"}):
        raw = [(name.encode(), value.encode("latin-1")) for name, value in header.items()]
        problem(await nobody.get("/api/bots", headers=raw), 401, "unauthorized")


async def test_the_right_id_with_a_wrong_secret(client: Client, admin_key: str) -> None:
    forged = admin_key[:-1] + ("A" if admin_key[-1] != "A" else "B")
    problem(await client(forged).get("/api/bots"), 401, "unauthorized")


async def test_an_unknown_path_is_reported_only_to_callers_with_a_key(
    admin: httpx.AsyncClient, nobody: httpx.AsyncClient
) -> None:
    problem(await admin.get("/api/unknown"), 404, "unknown-path")
    problem(await nobody.get("/api/unknown"), 401, "unauthorized")


async def test_the_response_to_an_unsupported_method_lists_the_supported_ones(admin: httpx.AsyncClient) -> None:
    answer = await admin.put("/api/bots")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == "GET, POST"


async def test_head_responds_like_get_without_the_body(
    admin: httpx.AsyncClient, nobody: httpx.AsyncClient, viewer: httpx.AsyncClient
) -> None:
    for client, path, status in ((nobody, "/livez", 200), (viewer, "/api/bots", 200), (admin, "/api/bots/none", 404)):
        answer = await client.head(path)
        assert (answer.status_code, answer.content) == (status, b""), path
        assert int(answer.headers["Content-Length"]) == len((await client.get(path)).content)
    assert (await nobody.head("/api/bots")).status_code == 401


async def test_a_websocket_is_rejected(app: FastAPI) -> None:
    said: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        said.append(message)

    await app({"type": "websocket", "path": "/", "headers": []}, receive, send)
    assert said == [{"type": "websocket.close", "code": 1008}]
