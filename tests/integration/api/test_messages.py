"""Accepting, reading, cancelling and awaiting messages."""

import asyncio
import dataclasses
import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.integration.api.conftest import CHAT, HELLO, Fleet, problem
from tests.integration.reconcile.conftest import eventually


async def test_a_text_is_stored_before_the_response(operator: httpx.AsyncClient, sender: str, fleet: Fleet) -> None:
    answer = await operator.post(sender, json=HELLO)
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert (body["state"], body["to"], body["content"]) == ("queued", CHAT, {"type": "text", "text": HELLO["message"]})
    assert answer.headers["Location"] == f"{sender}/{body['id']}"
    rows = await fleet.sql(
        "SELECT messages.id, messages.server_name, bots.id, state FROM messages JOIN bots ON bot_key = key"
    )
    assert rows == [(body["id"], "server1", "bot-1", "queued")]
    assert (await operator.get(answer.headers["Location"])).json() == body


@pytest.mark.parametrize(
    ("to", "chat"),
    [
        ("491707654321@s.whatsapp.net", CHAT),
        ("491707654321:12@s.whatsapp.net", CHAT),
        ("491707654321@c.us", CHAT),
        ("00491707654321", CHAT),
        ("+49 (170) 765-4321", CHAT),
        ("12345678901234@lid", "12345678901234@lid"),
        ("120363041234567890@g.us", "120363041234567890@g.us"),
        ("491707654321-1500000000@G.US", "491707654321-1500000000@g.us"),
    ],
)
async def test_chat_ids_are_normalised(operator: httpx.AsyncClient, sender: str, to: str, chat: str) -> None:
    assert (await operator.post(sender, json={**HELLO, "to": to})).json()["to"] == chat


CONTENTS: list[dict[str, Any]] = [
    {"type": "text", "text": "x"},
    {"type": "location", "latitude": 52.5, "longitude": 13.4, "name": "Here"},
    {"type": "contact", "name": "Ann", "phoneNumber": "+49 170 1"},
    {"type": "reaction", "messageId": "3EB0", "emoji": "👍"},
    {"type": "poll", "question": "?", "options": ["a", "b"], "selectable": 2},
]


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: content["type"])
async def test_all_content_types_without_a_file(
    operator: httpx.AsyncClient, sender: str, content: dict[str, Any]
) -> None:
    if content["type"] == "contact":
        content = {**content, "phoneNumber": "+49 170 1234567"}
    answer = await operator.post(sender, json={"to": CHAT, "content": content})
    assert answer.status_code == 202, answer.text
    kept = answer.json()["content"]
    assert (
        {**content, "phoneNumber": "491701234567"} | kept == kept if "name" in kept and "phoneNumber" in kept else True
    )
    assert kept["type"] == content["type"]


async def test_a_reply_stores_its_quote(operator: httpx.AsyncClient, sender: str) -> None:
    quote = {"messageId": "3EB0ABC", "text": "before"}
    assert (await operator.post(sender, json={**HELLO, "quote": quote})).json()["quote"] == quote


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"to": "nobody", "message": "x"}, "to"),
        ({"to": "0170 1234567", "message": "x"}, "to"),
        ({"to": "1@evil.example", "message": "x"}, "to"),
        ({"to": "123456@newsletter", "message": "x"}, "to"),
        ({"to": "4917012345", "message": ""}, "message"),
        ({"to": "4917012345", "message": "a\x00b"}, "message"),
        ({"to": "4917012345", "message": "x" * 65_537}, "message"),
        ({"to": "4917012345", "message": "x", "media": "y"}, "media"),
        ({"message": "x"}, "to"),
        ({"to": "4917012345"}, "body"),
        ({"to": "4917012345", "message": "x", "content": {"type": "text", "text": "x"}}, "body"),
        ({"to": "4917012345", "content": {"type": "spell"}}, "content"),
        ({"to": "4917012345", "content": {"type": "text", "text": "x", "data": ""}}, "content.data"),
        (
            {"to": "4917012345", "content": {"type": "location", "latitude": 91, "longitude": 0}},
            "content.latitude",
        ),
        ({"to": "4917012345", "content": {"type": "image", "data": "not base64!"}}, "content.data"),
        ({"to": "4917012345", "content": {"type": "image", "data": "AAAA"}}, "content.mimetype"),
        ({"to": "4917012345", "content": {"type": "document", "data": "AAAA", "mimetype": "a/b"}}, "content.fileName"),
        ({"to": "1-2", "content": {"type": "poll", "question": "?", "options": ["a", "a"]}}, "content"),
        ({"to": "123456@g.us", "content": {"type": "reaction", "messageId": "A", "emoji": "x"}}, "body"),
        ({"to": "123456@g.us", "message": "x", "quote": {"messageId": "A"}}, "body"),
        ({"to": "4917012345", "message": "x", "quote": {"messageId": "../../etc/passwd"}}, "quote.messageId"),
    ],
)
async def test_invalid_messages(
    operator: httpx.AsyncClient, sender: str, fleet: Fleet, body: dict[str, Any], field: str
) -> None:
    answer = await operator.post(sender, json=body)
    problem(answer, 422, "invalid-input")
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert await fleet.sql("SELECT 1 FROM messages") == []


@pytest.mark.parametrize("raw", [b"{", b"[1]", b"null", b"\xff", b"[" * 100_000, b'{"to": "\\ud800"}', b'"x"'])
async def test_malformed_json(operator: httpx.AsyncClient, sender: str, raw: bytes) -> None:
    answer = await operator.post(sender, content=raw, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


async def test_the_position_of_a_json_error(operator: httpx.AsyncClient, sender: str) -> None:
    answer = await operator.post(sender, content=b'{"to": oops}', headers={"Content-Type": "application/json"})
    assert "character 7" in problem(answer, 400, "malformed-json")


async def test_other_requests_keep_the_smaller_limit(operator: httpx.AsyncClient, sender: str) -> None:
    body = json.dumps({"name": "x" * (1 << 20)}).encode()
    answer = await operator.patch("/api/bots/bot-1", content=body, headers={"Content-Type": "application/json"})
    problem(answer, 413, "too-large")


class TestReading:
    async def test_pages_newest_first(self, operator: httpx.AsyncClient, sender: str) -> None:
        made = [(await operator.post(sender, json=HELLO)).json()["id"] for _ in range(3)]
        first = (await operator.get(sender, params={"limit": 2})).json()
        rest = (await operator.get(sender, params={"limit": 2, "next": first["next"]})).json()
        assert [item["id"] for item in first["items"] + rest["items"]] == made[::-1]
        assert rest["next"] is None

    async def test_by_state_and_recipient(self, operator: httpx.AsyncClient, sender: str, fleet: Fleet) -> None:
        one = (await operator.post(sender, json=HELLO)).json()["id"]
        two = (await operator.post(sender, json={**HELLO, "to": "4917011111111"})).json()["id"]
        await fleet.sql(
            "UPDATE messages SET state = 'read', read_at = created_at + interval '2 s' WHERE id = %(id)s", id=one
        )
        [item] = (await operator.get(sender, params={"state": "read"})).json()["items"]
        assert (item["id"], item["timings"]["readMs"]) == (one, 2000)
        [item] = (await operator.get(sender, params={"to": "+49 170 11111111"})).json()["items"]
        assert item["id"] == two
        problem(await operator.get(sender, params={"to": "nobody"}), 422, "invalid-input")

    async def test_an_operator_of_another_server_has_no_access(
        self, operator: httpx.AsyncClient, stranger: httpx.AsyncClient, sender: str
    ) -> None:
        made = await operator.post(sender, json=HELLO)
        for answer in (
            await stranger.get(sender),
            await stranger.get(made.headers["Location"]),
            await stranger.delete(made.headers["Location"]),
            await stranger.post(sender, json=HELLO),
        ):
            problem(answer, 404, "not-found")

    @pytest.mark.parametrize("odd", ["x", "..%2f..", "%00", "a" * 100, "%ff"])
    async def test_malformed_ids(self, operator: httpx.AsyncClient, sender: str, odd: str) -> None:
        assert (await operator.get(f"{sender}/{odd}")).status_code == 404


class TestCancelling:
    async def test_a_queued_message(self, operator: httpx.AsyncClient, sender: str, fleet: Fleet) -> None:
        content = {"type": "image", "mimetype": "image/png", "data": "AAAA"}
        made = await operator.post(sender, json={"to": CHAT, "content": content})
        for _ in range(2):
            answer = await operator.delete(made.headers["Location"])
            assert (answer.status_code, answer.json()["state"], answer.json()["reason"]) == (200, "failed", "cancelled")
        assert await fleet.sql("SELECT 1 FROM message_files") == []

    @pytest.mark.parametrize("state", ["sending", "sent", "delivered", "read", "failed"])
    async def test_a_message_that_was_sent(
        self, operator: httpx.AsyncClient, sender: str, fleet: Fleet, state: str
    ) -> None:
        made = await operator.post(sender, json=HELLO)
        await fleet.sql("UPDATE messages SET state = %(state)s", state=state)
        problem(await operator.delete(made.headers["Location"]), 409, "not-queued")


class TestWaiting:
    async def test_until_it_is_sent(self, operator: httpx.AsyncClient, sender: str, fleet: Fleet) -> None:
        waiting = asyncio.create_task(operator.post(sender, json=HELLO, params={"wait": 30}))
        sent = "UPDATE messages SET state = 'sent', whatsapp_id = 'W' RETURNING id"
        await eventually(lambda: fleet.sql(sent))
        answer = await waiting
        assert (answer.status_code, answer.json()["state"], answer.json()["messageId"]) == (200, "sent", "W")

    async def test_until_the_time_is_over(self, operator: httpx.AsyncClient, sender: str) -> None:
        answer = await operator.post(sender, json=HELLO, params={"wait": 0.1})
        assert (answer.status_code, answer.json()["state"]) == (202, "queued")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE bots SET approval_status = 'pending'", "not-approved"),
        ("UPDATE bots SET approval_status = 'rejected'", "not-approved"),
        ("UPDATE bots SET desired_state = 'stopped'", "stopped"),
        ("UPDATE bots SET deleting = true", "deleting"),
        ("UPDATE bot_status SET phase = 'logged-out'", "logged-out"),
        ("UPDATE bot_status SET phase = 'banned'", "banned"),
    ],
)
async def test_a_bot_that_cannot_send(
    operator: httpx.AsyncClient, sender: str, fleet: Fleet, change: str, code: str
) -> None:
    await fleet.sql(change)
    problem(await operator.post(sender, json=HELLO), 409, code)


@pytest.mark.parametrize("phase", ["starting", "degraded", "backing-off", "crash-loop", "pairing"])
async def test_a_message_to_an_offline_bot_is_queued(
    operator: httpx.AsyncClient, sender: str, fleet: Fleet, phase: str
) -> None:
    await fleet.observe("bot-1", phase=phase)
    assert (await operator.post(sender, json=HELLO)).status_code == 202


def use_settings(app: FastAPI, **changes: int) -> None:
    context = app.state.context
    app.state.context = dataclasses.replace(context, settings=context.settings.model_copy(update=changes))


async def test_more_than_the_quota_of_unsent_messages_is_refused_until_one_is_done(
    operator: httpx.AsyncClient, sender: str, app: FastAPI
) -> None:
    use_settings(app, queued_messages_per_bot=2)
    first = await operator.post(sender, json=HELLO, headers={"Idempotency-Key": "first"})
    assert (await operator.post(sender, json={**HELLO, "to": "491700000002"})).status_code == 202
    refused = await operator.post(sender, json={**HELLO, "to": "491700000003"})
    assert "2 messages of bot 'bot-1' wait" in problem(refused, 507, "queue-full")

    repeated = await operator.post(sender, json=HELLO, headers={"Idempotency-Key": "first"})
    assert (repeated.status_code, repeated.json()["id"]) == (202, first.json()["id"]), "already accepted"
    assert (await operator.delete(first.headers["Location"])).status_code == 200
    assert (await operator.post(sender, json=HELLO)).status_code == 202


async def test_an_unknown_bot(operator: httpx.AsyncClient) -> None:
    problem(await operator.post("/api/bots/nobody/messages", json=HELLO), 404, "not-found")


async def test_a_viewer_sends_nothing(viewer: httpx.AsyncClient, sender: str, fleet: Fleet) -> None:
    problem(await viewer.post(sender, json=HELLO), 403, "forbidden")
    assert await fleet.sql("SELECT 1 FROM messages") == []
