"""A bot's events and log lines."""

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.integration.api.conftest import Fleet, problem
from tests.integration.api.fake_runtime import listening


class TestEvents:
    async def test_pages_newest_first(self, operator: httpx.AsyncClient, fleet: Fleet, bot: str) -> None:
        ids = [str(await fleet.event(bot, "message-upsert", {"number": number})) for number in range(5)]
        first = (await operator.get(f"/api/bots/{bot}/events?limit=2")).json()
        assert [event["id"] for event in first["items"]] == [ids[4], ids[3]]
        assert set(first["items"][0]) == {"id", "type", "data", "timestamp", "source"}
        assert first["items"][0]["type"] == "message-upsert"
        assert first["items"][0]["data"] == {"number": 4}
        second = (await operator.get(f"/api/bots/{bot}/events?limit=2&next={first['next']}")).json()
        assert [event["id"] for event in second["items"]] == [ids[2], ids[1]]
        third = (await operator.get(f"/api/bots/{bot}/events?limit=2&next={second['next']}")).json()
        assert [event["id"] for event in third["items"]] == [ids[0]]
        assert third["next"] is None

    async def test_the_default_is_twenty(self, operator: httpx.AsyncClient, fleet: Fleet, bot: str) -> None:
        for number in range(21):
            await fleet.event(bot, "error", {"number": number})
        assert len((await operator.get(f"/api/bots/{bot}/events")).json()["items"]) == 20

    async def test_replay_continues_after_the_cursor(self, operator: httpx.AsyncClient, fleet: Fleet, bot: str) -> None:
        ids = [str(await fleet.event(bot, "qr", {})) for _ in range(3)]
        first = (await operator.get(f"/api/bots/{bot}/events?after=0&limit=2")).json()
        assert [event["id"] for event in first["items"]] == ids[:2]
        second = (await operator.get(f"/api/bots/{bot}/events?after={first['next']}")).json()
        assert [event["id"] for event in second["items"]] == ids[2:]
        nothing = (await operator.get(f"/api/bots/{bot}/events?after={second['next']}")).json()
        assert nothing == {"items": [], "next": second["next"]}

    async def test_pages_of_large_events_end_early(self, operator: httpx.AsyncClient, fleet: Fleet, bot: str) -> None:
        ids = [str(await fleet.event(bot, "error", {"message": "x" * 600_000})) for _ in range(5)]
        newest, query = [], "limit=200"
        while query:
            page = (await operator.get(f"/api/bots/{bot}/events?{query}")).json()
            assert 1 <= len(page["items"]) <= 2
            newest += [event["id"] for event in page["items"]]
            query = f"limit=200&next={page['next']}" if page["next"] else ""
        assert newest == ids[::-1]
        oldest, after = [], "0"
        while (page := (await operator.get(f"/api/bots/{bot}/events?limit=200&after={after}")).json())["items"]:
            oldest += [event["id"] for event in page["items"]]
            after = page["next"]
        assert oldest == ids

    async def test_each_bot_has_its_own_events(self, operator: httpx.AsyncClient, fleet: Fleet, bot: str) -> None:
        await operator.post("/api/bots", json={"id": "bot-2", "name": "other"})
        await fleet.event("bot-2", "qr", {})
        assert (await operator.get(f"/api/bots/{bot}/events")).json() == {"items": [], "next": None}

    @pytest.mark.parametrize("query", ["limit=0", "limit=1e3", "after=-1", "after=x", f"after={2**63}", "next=%00"])
    async def test_invalid_queries(self, operator: httpx.AsyncClient, bot: str, query: str) -> None:
        problem(await operator.get(f"/api/bots/{bot}/events?{query}"), 422, "invalid-input")

    async def test_after_and_next_exclude_each_other(self, operator: httpx.AsyncClient, bot: str) -> None:
        problem(await operator.get(f"/api/bots/{bot}/events?after=1&next=1"), 422, "invalid-input")


class Controller:
    """The internal port of a controller."""

    def __init__(self) -> None:
        self.lines = [f"line {number}" for number in range(5)]
        self.status = 200
        self.authorization: str | None = None
        self.address = ""

    async def logs(self, request: Request) -> Response:
        self.authorization = request.headers.get("authorization")
        tail = int(request.query_params["tail"])
        return JSONResponse({"lines": self.lines[-tail:]}, self.status)


@pytest.fixture
async def controller(fleet: Fleet) -> AsyncIterator[Controller]:
    """An active controller of server1."""
    controller = Controller()
    async with listening(Starlette(routes=[Route("/internal/bots/bot-1/logs", controller.logs)])) as port:
        controller.address = f"127.0.0.1:{port}"
        await fleet.sql(
            "UPDATE servers SET controller = %(address)s, controller_seen_at = now() WHERE name = 'server1'",
            address=controller.address,
        )
        yield controller


class TestLogs:
    async def test_logs_of_a_running_container(
        self, operator: httpx.AsyncClient, fleet: Fleet, bot: str, controller: Controller
    ) -> None:
        await fleet.observe(bot, phase="online", container_id="c0ffee")
        answer = await operator.get(f"/api/bots/{bot}/logs?tail=2")
        assert answer.json() == {"items": ["line 3", "line 4"], "source": "container", "next": None}
        token = (await fleet.bot_row(bot))["runtime_token"]
        assert controller.authorization == f"Bearer {token}"

    async def test_logs_of_the_last_exit(self, operator: httpx.AsyncClient, fleet: Fleet, bot: str) -> None:
        await fleet.observe(bot, phase="stopped", last_exit={"exitCode": 1, "logs": ["a", "b", "c"]})
        answer = await operator.get(f"/api/bots/{bot}/logs?tail=2")
        assert answer.json() == {"items": ["b", "c"], "source": "last-exit", "next": None}

    async def test_logs_of_a_bot_that_never_ran(self, operator: httpx.AsyncClient, bot: str) -> None:
        assert (await operator.get(f"/api/bots/{bot}/logs")).json()["items"] == []

    async def test_without_a_controller(self, operator: httpx.AsyncClient, fleet: Fleet, bot: str) -> None:
        await fleet.observe(bot, container_id="c0ffee")
        assert "server1" in problem(await operator.get(f"/api/bots/{bot}/logs"), 503, "no-controller")

    async def test_with_a_controller_that_stopped_reporting(
        self, operator: httpx.AsyncClient, fleet: Fleet, bot: str, controller: Controller
    ) -> None:
        await fleet.observe(bot, container_id="c0ffee")
        await fleet.sql("UPDATE servers SET controller_seen_at = now() - interval '1 minute'")
        problem(await operator.get(f"/api/bots/{bot}/logs"), 503, "no-controller")

    @pytest.mark.parametrize("status", [401, 500, 503])
    async def test_with_a_controller_that_rejects_the_request(
        self, operator: httpx.AsyncClient, fleet: Fleet, bot: str, controller: Controller, status: int
    ) -> None:
        await fleet.observe(bot, container_id="c0ffee")
        controller.status = status
        problem(await operator.get(f"/api/bots/{bot}/logs"), 503, "controller-unreachable")

    @pytest.mark.parametrize("address", ["127.0.0.99:9", "not an address", "127.0.0.1:http"])
    async def test_with_an_unreachable_controller(
        self, operator: httpx.AsyncClient, fleet: Fleet, bot: str, controller: Controller, address: str
    ) -> None:
        await fleet.observe(bot, container_id="c0ffee")
        await fleet.sql("UPDATE servers SET controller = %(address)s", address=address)
        detail = problem(await operator.get(f"/api/bots/{bot}/logs"), 503, "controller-unreachable")
        assert (await fleet.bot_row(bot))["runtime_token"] not in detail

    @pytest.mark.parametrize("tail", ["0", "1001", "x", "-1"])
    async def test_invalid_tails(self, operator: httpx.AsyncClient, bot: str, tail: str) -> None:
        problem(await operator.get(f"/api/bots/{bot}/logs?tail={tail}"), 422, "invalid-input")
