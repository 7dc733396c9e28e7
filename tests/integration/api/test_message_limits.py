"""One message per idempotency key, and no more than the rate limit allows, also with concurrent requests."""

import asyncio
import base64
from typing import Any

import httpx
import pytest

from tests.integration.api.conftest import CHAT, HELLO, Fleet, problem


class TestIdempotency:
    async def test_a_repetition_returns_the_first_answer_after_the_bot_was_stopped(
        self, operator: httpx.AsyncClient, sender: str, fleet: Fleet
    ) -> None:
        headers = {"Idempotency-Key": "k"}
        first = await operator.post(sender, json=HELLO, headers=headers)
        for change in ("desired_state = 'stopped'", "approval_status = 'rejected'", "deleting = true"):
            await fleet.sql(f"UPDATE bots SET {change}")
            again = await operator.post(sender, json=HELLO, headers=headers)
            assert (again.status_code, again.json()) == (202, first.json())
            other = await operator.post(sender, json=HELLO, headers={"Idempotency-Key": "another"})
            assert other.status_code == 409

    async def test_a_repeated_request_returns_the_same_message(
        self, operator: httpx.AsyncClient, sender: str, fleet: Fleet
    ) -> None:
        headers = {"Idempotency-Key": "order 17 / shipped"}
        first = await operator.post(sender, json=HELLO, headers=headers)
        again = await operator.post(sender, json={**HELLO, "to": "491707654321@c.us"}, headers=headers)
        other = await operator.post(sender, json=HELLO, headers={"Idempotency-Key": "order 18"})
        assert (first.status_code, again.status_code) == (202, 202)
        assert again.json() == first.json()
        assert other.json()["id"] != first.json()["id"]

    @pytest.mark.parametrize("change", [{"message": "Other"}, {"to": "+49 170 0000000"}, {"quote": {"messageId": "A"}}])
    async def test_another_request_with_the_same_key_is_rejected(
        self, operator: httpx.AsyncClient, sender: str, change: dict[str, Any]
    ) -> None:
        headers = {"Idempotency-Key": "k"}
        await operator.post(sender, json=HELLO, headers=headers)
        answer = await operator.post(sender, json={**HELLO, **change}, headers=headers)
        problem(answer, 422, "idempotency-key-reused")

    async def test_another_file_is_another_request(self, operator: httpx.AsyncClient, sender: str) -> None:
        headers = {"Idempotency-Key": "k"}
        codes = []
        for file in (b"one", b"one", b"two"):
            content = {"type": "image", "mimetype": "image/png", "data": base64.b64encode(file).decode()}
            answer = await operator.post(sender, json={"to": CHAT, "content": content}, headers=headers)
            codes.append(answer.status_code)
        assert codes == [202, 202, 422]

    async def test_concurrent_requests_create_one_message(
        self, operator: httpx.AsyncClient, sender: str, fleet: Fleet
    ) -> None:
        headers = {"Idempotency-Key": "k"}
        answers = await asyncio.gather(*(operator.post(sender, json=HELLO, headers=headers) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["id"] for answer in answers}) == 1
        chats = [f"4917000000{number:02}" for number in range(20)]
        other = {"Idempotency-Key": "o"}
        answers = await asyncio.gather(
            *(operator.post(sender, json={**HELLO, "to": to}, headers=other) for to in chats)
        )
        assert sorted(answer.status_code for answer in answers) == [202] + [422] * 19
        assert await fleet.sql("SELECT count(*) FROM messages") == [(2,)]

    async def test_a_key_belongs_to_a_bot(self, operator: httpx.AsyncClient, sender: str, fleet: Fleet) -> None:
        await operator.post("/api/bots", json={"id": "bot-2", "name": "Two"})
        await fleet.sql("UPDATE bots SET approval_status = 'approved'")
        headers = {"Idempotency-Key": "k"}
        await operator.post(sender, json=HELLO, headers=headers)
        answer = await operator.post("/api/bots/bot-2/messages", json={**HELLO, "message": "2"}, headers=headers)
        assert answer.status_code == 202


class TestRateLimit:
    async def test_it_is_exact_with_concurrent_requests(
        self, operator: httpx.AsyncClient, sender: str, fleet: Fleet
    ) -> None:
        answers = await asyncio.gather(*(operator.post(sender, json=HELLO) for _ in range(40)))
        codes = sorted(answer.status_code for answer in answers)
        assert codes == [202] * 30 + [429] * 10
        refused = next(answer for answer in answers if answer.status_code == 429)
        problem(refused, 429, "rate-limited")
        assert 0 < refused.json()["retryAfter"] <= 60_000
        assert int(refused.headers["Retry-After"]) <= 60
        assert (await operator.post(sender, json={**HELLO, "to": "4917011111111"})).status_code == 202

    async def test_all_forms_of_a_number_are_one_recipient(
        self, operator: httpx.AsyncClient, sender: str, fleet: Fleet
    ) -> None:
        await fleet.sql("UPDATE bots SET settings = '{\"rateLimitMax\": 1}'")
        assert (await operator.post(sender, json=HELLO)).status_code == 202
        problem(await operator.post(sender, json={**HELLO, "to": "491707654321@c.us"}), 429, "rate-limited")

    async def test_the_window_slides(self, operator: httpx.AsyncClient, sender: str, fleet: Fleet) -> None:
        await fleet.sql("UPDATE bots SET settings = '{\"rateLimitMax\": 2}'")
        for _ in range(2):
            await operator.post(sender, json=HELLO)
        await fleet.sql(
            "UPDATE messages SET slot_at = slot_at - interval '59 s' WHERE seq = (SELECT min(seq) FROM messages)"
        )
        refused = await operator.post(sender, json=HELLO)
        assert 0 < refused.json()["retryAfter"] <= 1000
        await fleet.sql(
            "UPDATE messages SET slot_at = slot_at - interval '1 s' WHERE seq = (SELECT min(seq) FROM messages)"
        )
        assert (await operator.post(sender, json=HELLO)).status_code == 202
        problem(await operator.post(sender, json=HELLO), 429, "rate-limited")

    async def test_queued_messages_get_the_next_slots(
        self, operator: httpx.AsyncClient, sender: str, fleet: Fleet
    ) -> None:
        await fleet.sql("UPDATE bots SET settings = '{\"rateLimitMax\": 2}'")
        for _ in range(5):
            answer = await operator.post(sender, json={**HELLO, "queue": True})
            assert answer.status_code == 202
        assert answer.json()["reason"] == "rate-limited"
        rows = await fleet.sql("SELECT extract(epoch FROM slot_at - min(slot_at) OVER ()) FROM messages ORDER BY seq")
        assert [round(float(row[0]) / 60) for row in rows] == [0, 0, 1, 1, 2]
        refused = await operator.post(sender, json=HELLO)
        assert refused.json()["retryAfter"] > 60_000

    async def test_a_repeated_request_takes_no_slot(
        self, operator: httpx.AsyncClient, sender: str, fleet: Fleet
    ) -> None:
        await fleet.sql("UPDATE bots SET settings = '{\"rateLimitMax\": 1}'")
        for _ in range(3):
            answer = await operator.post(sender, json=HELLO, headers={"Idempotency-Key": "k"})
            assert answer.status_code == 202

    async def test_a_cancelled_message_frees_its_slot(
        self, operator: httpx.AsyncClient, sender: str, fleet: Fleet
    ) -> None:
        await fleet.sql("UPDATE bots SET settings = '{\"rateLimitMax\": 1}'")
        made = await operator.post(sender, json=HELLO)
        await operator.delete(made.headers["Location"])
        assert (await operator.post(sender, json=HELLO)).status_code == 202
