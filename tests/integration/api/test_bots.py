"""Creating, reading, changing and deleting bots."""

import asyncio
import re
from typing import Any

import httpx
import pytest

from tests.integration.api.conftest import Fleet, problem

A_BOT = {
    "id",
    "name",
    "serverName",
    "phoneNumber",
    "kind",
    "approvalStatus",
    "desiredState",
    "settings",
    "limits",
    "createdAt",
    "updatedAt",
    "status",
}
A_STATUS = {
    "phase",
    "reason",
    "message",
    "containerId",
    "containerName",
    "connection",
    "restarts",
    "lastExit",
    "startedAt",
    "connectedAt",
    "lastHeartbeat",
    "nextStartAt",
}


class TestCreate:
    async def test_a_new_bot_waits_for_approval(self, operator: httpx.AsyncClient) -> None:
        made = await operator.post(
            "/api/bots",
            json={
                "id": "bot-123",
                "name": " Support ",
                "phoneNumber": "+49 (170) 123-4567",
                "settings": {"prefix": "!", "heartbeatIntervalSeconds": 15},
                "limits": {"memoryBytes": 128 << 20, "cpus": 1, "pids": 100},
            },
        )
        assert made.status_code == 201
        assert made.headers["location"] == "/api/bots/bot-123"
        bot = made.json()
        assert set(bot) == A_BOT
        assert set(bot["status"]) == A_STATUS
        assert bot["name"] == "Support"
        assert bot["phoneNumber"] == "491701234567"
        assert (bot["serverName"], bot["kind"]) == ("server1", "standard")
        assert (bot["approvalStatus"], bot["desiredState"]) == ("pending", "running")
        assert bot["settings"] == {"prefix": "!", "heartbeatIntervalSeconds": 15}
        assert bot["limits"] == {"memoryBytes": 128 << 20, "cpus": 1, "pids": 100}
        assert bot["status"]["phase"] == "pending"
        assert bot["createdAt"].endswith("Z")
        assert (await operator.get("/api/bots/bot-123")).json() == bot

    async def test_an_id_is_generated(self, operator: httpx.AsyncClient) -> None:
        made = await operator.post("/api/bots", json={"name": "Support"})
        assert re.fullmatch("bot-[0-9a-f]{8}", made.json()["id"])

    async def test_an_admin_selects_the_server_or_gets_the_one_of_the_api(
        self, admin: httpx.AsyncClient, stranger: httpx.AsyncClient
    ) -> None:
        assert (await admin.post("/api/bots", json={"name": "a"})).json()["serverName"] == "server1"
        named = await admin.post("/api/bots", json={"name": "b", "serverName": "server2"})
        assert named.json()["serverName"] == "server2"
        assert (await stranger.post("/api/bots", json={"name": "c"})).json()["serverName"] == "server2"

    async def test_an_operator_creates_none_on_another_server(self, operator: httpx.AsyncClient) -> None:
        problem(await operator.post("/api/bots", json={"name": "x", "serverName": "server2"}), 403, "forbidden")

    async def test_the_server_must_exist(self, admin: httpx.AsyncClient) -> None:
        answer = await admin.post("/api/bots", json={"name": "x", "serverName": "nowhere"})
        assert "nowhere" in problem(answer, 404, "unknown-server")

    async def test_an_id_is_unique(self, operator: httpx.AsyncClient, bot: str) -> None:
        problem(await operator.post("/api/bots", json={"id": bot, "name": "again"}), 409, "already-exists")

    async def test_an_id_is_unique_on_its_server_only(self, stranger: httpx.AsyncClient, bot: str) -> None:
        created = await stranger.post("/api/bots", json={"id": bot, "name": "mine"})
        assert (created.status_code, created.json()["serverName"]) == (201, "server2")

    async def test_a_full_server_accepts_no_more_even_with_concurrent_requests(
        self, operator: httpx.AsyncClient, fleet: Fleet
    ) -> None:
        await fleet.sql("UPDATE servers SET max_bots = 3")
        answers = await asyncio.gather(*(operator.post("/api/bots", json={"name": f"bot {n}"}) for n in range(10)))
        assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 7
        refused = next(answer for answer in answers if answer.status_code == 409)
        assert "maxBots is 3" in problem(refused, 409, "limit-reached")
        assert (await fleet.sql("SELECT count(*) FROM bots")) == [(3,)]

    async def test_concurrent_requests_for_an_id_create_it_once(self, operator: httpx.AsyncClient) -> None:
        answers = await asyncio.gather(
            *(operator.post("/api/bots", json={"id": "same", "name": "same"}) for _ in range(6))
        )
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5

    async def test_a_bot_being_deleted_still_counts(self, operator: httpx.AsyncClient, fleet: Fleet, bot: str) -> None:
        await fleet.sql("UPDATE servers SET max_bots = 1")
        await operator.delete(f"/api/bots/{bot}")
        answer = await operator.post("/api/bots", json={"name": "next"})
        assert "1 of them being deleted" in problem(answer, 409, "limit-reached")

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "name"),
            ({"name": ""}, "name"),
            ({"name": "   "}, "name"),
            ({"name": "x" * 65}, "name"),
            ({"name": "a\nb"}, "name"),
            ({"name": "a\x00b"}, "name"),
            ({"name": "a\u202eb"}, "name"),
            ({"name": 5}, "name"),
            ({"name": None}, "name"),
            ({"name": "x", "id": "Upper"}, "id"),
            ({"name": "x", "id": "a/b"}, "id"),
            ({"name": "x", "id": "../etc"}, "id"),
            ({"name": "x", "id": "bot\n"}, "id"),
            ({"name": "x", "id": "a" * 49}, "id"),
            ({"name": "x", "serverName": "../x"}, "serverName"),
            ({"name": "x", "phoneNumber": "0170 1234567"}, "phoneNumber"),
            ({"name": "x", "phoneNumber": "call me"}, "phoneNumber"),
            ({"name": "x", "phoneNumber": "١٢٣٤٥٦٧٨"}, "phoneNumber"),
            ({"name": "x", "approved": True}, "approved"),
            ({"name": "x", "approvalStatus": "approved"}, "approvalStatus"),
            ({"name": "x", "settings": {"prefx": "!"}}, "settings.prefx"),
            ({"name": "x", "settings": {"prefix": "toolong"}}, "settings.prefix"),
            ({"name": "x", "settings": {"prefix": " "}}, "settings.prefix"),
            ({"name": "x", "settings": {"generation": 9}}, "settings.generation"),
            ({"name": "x", "settings": {"heartbeatIntervalSeconds": 0}}, "settings.heartbeatIntervalSeconds"),
            ({"name": "x", "settings": {"maxReconnectAttempts": 1.5}}, "settings.maxReconnectAttempts"),
            ({"name": "x", "settings": {"connectionResetIntervalSeconds": 5}}, "settings"),
            ({"name": "x", "limits": {"memoryBytes": (64 << 20) - 1}}, "limits.memoryBytes"),
            ({"name": "x", "limits": {"memoryBytes": (4 << 30) + 1}}, "limits.memoryBytes"),
            ({"name": "x", "limits": {"cpus": 0.01}}, "limits.cpus"),
            ({"name": "x", "limits": {"cpus": "NaN"}}, "limits.cpus"),
            ({"name": "x", "limits": {"pids": 8}}, "limits.pids"),
            ({"name": "x", "limits": {"privileged": True}}, "limits.privileged"),
            ({"name": "x", "server_name": "server1"}, "server_name"),
        ],
    )
    async def test_an_invalid_field_is_named(
        self, operator: httpx.AsyncClient, fleet: Fleet, body: dict[str, Any], field: str
    ) -> None:
        answer = await operator.post("/api/bots", json=body)
        problem(answer, 422, "invalid-input")
        assert [error["field"] for error in answer.json()["errors"]] == [field]
        assert (await fleet.sql("SELECT count(*) FROM bots")) == [(0,)]


class TestList:
    async def test_pages_contain_each_bot_once(self, operator: httpx.AsyncClient) -> None:
        names = [f"bot-{number}" for number in range(5)]
        for name in reversed(names):
            await operator.post("/api/bots", json={"id": name, "name": name})
        seen: list[str] = []
        cursor: str | None = None
        pages = 0
        while cursor is not None or not pages:
            page = await operator.get("/api/bots", params={"limit": 2} | ({"next": cursor} if cursor else {}))
            assert set(page.json()) == {"items", "next"}
            seen += [bot["id"] for bot in page.json()["items"]]
            cursor = page.json()["next"]
            pages += 1
        assert seen == names
        assert pages == 3

    async def test_filters(self, admin: httpx.AsyncClient, stranger: httpx.AsyncClient, fleet: Fleet, bot: str) -> None:
        await stranger.post("/api/bots", json={"id": "other", "name": "other"})
        await admin.post("/api/bots/other/approve")
        await fleet.observe("other", phase="online")
        await admin.post("/api/bots", json={"id": "going", "name": "going"})
        await admin.delete("/api/bots/going")

        async def found(**params: str) -> list[str]:
            return [each["id"] for each in (await admin.get("/api/bots", params=params)).json()["items"]]

        assert await found() == ["bot-1", "going", "other"]
        assert await found(serverName="server2") == ["other"]
        assert await found(phase="online") == ["other"]
        assert await found(phase="stopping") == ["going"]
        assert await found(phase="pending") == ["bot-1"]
        assert await found(approvalStatus="approved", serverName="server1") == []

    @pytest.mark.parametrize(
        "query", ["limit=0", "limit=201", "limit=x", "phase=flying", "next=%00", "next=../", "serverName=%00"]
    )
    async def test_invalid_queries_are_rejected(self, operator: httpx.AsyncClient, query: str) -> None:
        answer = await operator.get(f"/api/bots?{query}")
        problem(answer, 422, "invalid-input")
        assert answer.json()["errors"][0]["in"] == "query"

    async def test_the_paired_number_is_shown(self, operator: httpx.AsyncClient, fleet: Fleet, bot: str) -> None:
        await operator.patch(f"/api/bots/{bot}", json={"phoneNumber": None})
        await fleet.observe(bot, paired_number="4915112345678")
        assert (await operator.get(f"/api/bots/{bot}")).json()["phoneNumber"] == "4915112345678"
        [listed] = (await operator.get("/api/bots")).json()["items"]
        assert listed["phoneNumber"] == "4915112345678"
        changed = await operator.patch(f"/api/bots/{bot}", json={"phoneNumber": "+49 170 1234567"})
        assert changed.json()["phoneNumber"] == "4915112345678", "a bot that is paired has this number"

    async def test_lists_omit_log_lines(self, operator: httpx.AsyncClient, fleet: Fleet, bot: str) -> None:
        last_exit = {"containerId": "c", "exitCode": 137, "oomKilled": True, "reason": "oom-killed", "logs": ["boom"]}
        await fleet.observe(bot, last_exit=last_exit, reason="oom-killed", restarts=3)
        one = (await operator.get(f"/api/bots/{bot}")).json()
        assert one["status"]["restarts"] == 3
        assert one["status"]["lastExit"] == {**last_exit, "message": None, "finishedAt": None}
        [listed] = (await operator.get("/api/bots")).json()["items"]
        assert listed["status"]["lastExit"] == {**one["status"]["lastExit"], "logs": []}


class TestChange:
    async def test_omitted_fields_keep_their_values(self, operator: httpx.AsyncClient, fleet: Fleet, bot: str) -> None:
        before = await fleet.bot_row(bot)
        changed = await operator.patch(f"/api/bots/{bot}", json={"name": "Sales"})
        assert changed.status_code == 200
        assert changed.json()["name"] == "Sales"
        assert changed.json()["phoneNumber"] == "491701234567"
        assert changed.json()["updatedAt"] > changed.json()["createdAt"]
        assert (await fleet.bot_row(bot))["generation"] == before["generation"] + 1

    async def test_settings_and_limits_are_merged_and_null_resets(self, operator: httpx.AsyncClient, bot: str) -> None:
        path = f"/api/bots/{bot}"
        await operator.patch(path, json={"settings": {"prefix": "!", "maxReconnectAttempts": 3}, "limits": {"cpus": 2}})
        changed = await operator.patch(
            path, json={"settings": {"prefix": None, "heartbeatIntervalSeconds": 5}, "phoneNumber": None}
        )
        assert changed.json()["settings"] == {"maxReconnectAttempts": 3, "heartbeatIntervalSeconds": 5}
        assert changed.json()["limits"] == {"cpus": 2}
        assert changed.json()["phoneNumber"] is None

    async def test_repeating_a_change_does_nothing(self, operator: httpx.AsyncClient, fleet: Fleet, bot: str) -> None:
        before = await fleet.bot_row(bot)
        await operator.patch(f"/api/bots/{bot}", json={"name": before["name"], "settings": {}, "limits": {}})
        await operator.patch(f"/api/bots/{bot}", json={})
        assert await fleet.bot_row(bot) == before

    async def test_concurrent_changes_are_all_applied(self, operator: httpx.AsyncClient, bot: str) -> None:
        changes: list[dict[str, Any]] = [
            {"settings": {"prefix": "!"}},
            {"settings": {"maxReconnectAttempts": 3}},
            {"settings": {"heartbeatIntervalSeconds": 5}},
            {"limits": {"cpus": 2}},
            {"limits": {"pids": 99}},
        ]
        await asyncio.gather(*(operator.patch(f"/api/bots/{bot}", json=change) for change in changes))
        after = (await operator.get(f"/api/bots/{bot}")).json()
        assert after["settings"] == {"prefix": "!", "maxReconnectAttempts": 3, "heartbeatIntervalSeconds": 5}
        assert after["limits"] == {"cpus": 2, "pids": 99}

    @pytest.mark.parametrize(
        "patch",
        [{"name": None}, {"settings": None}, {"limits": None}, {"id": "new"}, {"serverName": "server2"}, [], "x"],
    )
    async def test_invalid_changes_are_rejected(self, operator: httpx.AsyncClient, bot: str, patch: Any) -> None:
        problem(await operator.patch(f"/api/bots/{bot}", json=patch), 422, "invalid-input")

    async def test_a_bot_being_deleted_does_not_change(self, operator: httpx.AsyncClient, bot: str) -> None:
        await operator.delete(f"/api/bots/{bot}")
        problem(await operator.patch(f"/api/bots/{bot}", json={"name": "x"}), 409, "deleting")


class TestDelete:
    async def test_it_is_marked_and_shown_as_stopping(
        self, operator: httpx.AsyncClient, fleet: Fleet, bot: str
    ) -> None:
        deleted = await operator.delete(f"/api/bots/{bot}")
        assert deleted.status_code == 202
        assert deleted.json()["status"]["phase"] == "stopping"
        assert deleted.json()["status"]["reason"] == "deleting"
        assert (await operator.get(f"/api/bots/{bot}")).json() == deleted.json()
        assert (await fleet.bot_row(bot))["deleting"] is True

    async def test_deleting_is_idempotent(self, operator: httpx.AsyncClient, fleet: Fleet, bot: str) -> None:
        answers = await asyncio.gather(*(operator.delete(f"/api/bots/{bot}") for _ in range(4)))
        assert {answer.status_code for answer in answers} == {202}
        assert (await fleet.bot_row(bot))["generation"] == 2

    async def test_it_is_not_found_once_the_controller_has_removed_it(
        self, operator: httpx.AsyncClient, fleet: Fleet, bot: str
    ) -> None:
        await operator.delete(f"/api/bots/{bot}")
        await fleet.sql("DELETE FROM bots")
        problem(await operator.delete(f"/api/bots/{bot}"), 404, "not-found")
