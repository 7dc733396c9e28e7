"""Actions on a bot are idempotent, and state clearly why they are not possible."""

import asyncio

import httpx
import psycopg
import pytest

from bot_runtime.contract import ConnectionState
from tests.integration.api.conftest import Fleet, problem
from tests.integration.api.fake_runtime import FakeRuntime
from tests.integration.api.live_bot import live_bot, runtime_port  # noqa: F401

# ruff: noqa: F811

ACTIONS = ["approve", "reject", "start", "stop", "restart", "logout"]


async def test_approve_and_reject(operator: httpx.AsyncClient, bot: str) -> None:
    for action, state in [("approve", "approved"), ("reject", "rejected"), ("approve", "approved")]:
        answer = await operator.post(f"/api/bots/{bot}/{action}")
        assert answer.status_code == 200
        assert answer.json()["approvalStatus"] == state


@pytest.mark.parametrize("action", ["approve", "reject", "stop"])
async def test_concurrent_requests_change_a_bot_once(
    operator: httpx.AsyncClient, fleet: Fleet, bot: str, action: str
) -> None:
    answers = await asyncio.gather(*(operator.post(f"/api/bots/{bot}/{action}") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert (await fleet.bot_row(bot))["generation"] == 2


async def test_stop_and_start(operator: httpx.AsyncClient, bot: str) -> None:
    await operator.post(f"/api/bots/{bot}/approve")
    assert (await operator.post(f"/api/bots/{bot}/stop")).json()["desiredState"] == "stopped"
    assert (await operator.post(f"/api/bots/{bot}/stop")).json()["desiredState"] == "stopped"
    assert (await operator.post(f"/api/bots/{bot}/start")).json()["desiredState"] == "running"


async def test_start_of_a_running_bot_changes_nothing(operator: httpx.AsyncClient, fleet: Fleet, bot: str) -> None:
    await operator.post(f"/api/bots/{bot}/approve")
    await fleet.observe(bot, phase="online")
    before = await fleet.bot_row(bot)
    assert (await operator.post(f"/api/bots/{bot}/start")).status_code == 200
    assert await fleet.bot_row(bot) == before


@pytest.mark.parametrize("phase", ["skipped", "crash-loop", "backing-off", "banned", "outdated", "logged-out"])
async def test_start_gives_a_waiting_bot_one_new_generation(
    operator: httpx.AsyncClient, fleet: Fleet, bot: str, phase: str
) -> None:
    await operator.post(f"/api/bots/{bot}/approve")
    await fleet.observe(bot, phase=phase)
    before = (await fleet.bot_row(bot))["generation"]
    await asyncio.gather(*(operator.post(f"/api/bots/{bot}/start") for _ in range(3)))
    assert (await fleet.bot_row(bot))["generation"] == before + 1


async def test_restart_increments_generations_and_fresh_deletes_the_session(
    operator: httpx.AsyncClient, fleet: Fleet, bot: str
) -> None:
    await operator.post(f"/api/bots/{bot}/approve")
    assert (await operator.post(f"/api/bots/{bot}/restart")).status_code == 200
    row = await fleet.bot_row(bot)
    assert (row["restart_generation"], row["session_generation"]) == (1, 0)
    await operator.post(f"/api/bots/{bot}/stop")
    answer = await operator.post(f"/api/bots/{bot}/restart", json={"fresh": True})
    assert answer.json()["desiredState"] == "running"
    row = await fleet.bot_row(bot)
    assert (row["restart_generation"], row["session_generation"]) == (2, 1)


@pytest.mark.parametrize("body", [{"fresh": "maybe"}, {"freshly": True}, []])
async def test_an_invalid_restart_body_is_rejected(
    operator: httpx.AsyncClient, fleet: Fleet, bot: str, body: object
) -> None:
    await operator.post(f"/api/bots/{bot}/approve")
    problem(await operator.post(f"/api/bots/{bot}/restart", json=body), 422, "invalid-input")
    assert (await fleet.bot_row(bot))["restart_generation"] == 0


@pytest.mark.parametrize("action", ["start", "restart"])
async def test_only_approved_bots_start(operator: httpx.AsyncClient, bot: str, action: str) -> None:
    assert "/approve" in problem(await operator.post(f"/api/bots/{bot}/{action}"), 409, "not-approved")


@pytest.mark.parametrize("action", ["approve", "reject", "start", "stop", "restart"])
async def test_a_bot_being_deleted_rejects_actions(operator: httpx.AsyncClient, bot: str, action: str) -> None:
    await operator.delete(f"/api/bots/{bot}")
    problem(await operator.post(f"/api/bots/{bot}/{action}"), 409, "deleting")


@pytest.mark.parametrize("action", ACTIONS)
async def test_an_unknown_bot(operator: httpx.AsyncClient, action: str) -> None:
    problem(await operator.post(f"/api/bots/nobody/{action}"), 404, "not-found")


class TestLogout:
    async def test_the_bot_unlinks_itself(self, operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime) -> None:
        fake.connection = ConnectionState.ONLINE
        answer = await operator.post(f"/api/bots/{live_bot}/logout")
        assert answer.status_code == 200
        assert answer.json()["id"] == live_bot
        assert fake.logouts == 1

    async def test_logging_out_twice_is_not_an_error(
        self, operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime
    ) -> None:
        for _ in range(2):
            assert (await operator.post(f"/api/bots/{live_bot}/logout")).status_code == 200
        assert fake.logouts == 1

    async def test_a_bot_that_was_never_paired(
        self, operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime
    ) -> None:
        fake.fails = (409, "no-session", "there is no session to log out")
        problem(await operator.post(f"/api/bots/{live_bot}/logout"), 409, "no-session")

    async def test_a_bot_that_is_not_running(self, operator: httpx.AsyncClient, bot: str) -> None:
        assert "start it" in problem(await operator.post(f"/api/bots/{bot}/logout"), 409, "not-running")

    async def test_whatsapp_does_not_respond(
        self, operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime
    ) -> None:
        fake.fails = (504, "whatsapp-timeout", "WhatsApp did not answer")
        problem(await operator.post(f"/api/bots/{live_bot}/logout"), 504, "whatsapp-timeout")


async def test_every_write_notifies_the_controller(operator: httpx.AsyncClient, database_url: str) -> None:
    heard: list[str] = []
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("LISTEN botdock_bots")
        await operator.post("/api/bots", json={"id": "bot-1", "name": "x"})
        await operator.post("/api/bots/bot-1/approve")
        await operator.delete("/api/bots/bot-1")
        async for notice in connection.notifies(timeout=5):
            heard += [notice.payload] if notice.payload != "*" else []  # sent by the api itself when it starts
            if len(heard) == 3:
                break
    assert heard == ["server1/bot-1"] * 3
