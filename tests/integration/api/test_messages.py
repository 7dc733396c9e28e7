"""Taking messages in: kept before the answer, once per idempotency key, within the rate limit, whatever comes."""

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest

from tests.integration.api.conftest import Fleet, problem
from tests.integration.reconcile.conftest import eventually

HELLO = {"to": "+49 170 7654321", "message": "Hello 👋\nthere"}
CHAT = "491707654321@s.whatsapp.net"
PICTURE = b"\xff\xd8picture\x00" * 1000


@pytest.fixture
async def sender(bot: str, fleet: Fleet) -> str:
    """The path of the messages of a bot that may send."""
    await fleet.sql("UPDATE bots SET approval_status = 'approved'")
    return f"/api/bots/{bot}/messages"


async def test_a_text_is_kept_before_the_answer(operator: httpx.AsyncClient, sender: str, fleet: Fleet) -> None:
    answer = await operator.post(sender, json=HELLO)
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert (body["state"], body["to"], body["content"]) == ("queued", CHAT, {"type": "text", "text": HELLO["message"]})
    assert answer.headers["Location"] == f"{sender}/{body['id']}"
    rows = await fleet.sql("SELECT id, server_name, bot_id, state FROM messages")
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
async def test_one_chat_has_one_name(operator: httpx.AsyncClient, sender: str, to: str, chat: str) -> None:
    assert (await operator.post(sender, json={**HELLO, "to": to})).json()["to"] == chat


CONTENTS: list[dict[str, Any]] = [
    {"type": "text", "text": "x"},
    {"type": "location", "latitude": 52.5, "longitude": 13.4, "name": "Here"},
    {"type": "contact", "name": "Ann", "phoneNumber": "+49 170 1"},
    {"type": "reaction", "messageId": "3EB0", "emoji": "👍"},
    {"type": "poll", "question": "?", "options": ["a", "b"], "selectable": 2},
]


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: content["type"])
async def test_all_contents_without_a_file(operator: httpx.AsyncClient, sender: str, content: dict[str, Any]) -> None:
    if content["type"] == "contact":
        content = {**content, "phoneNumber": "+49 170 1234567"}
    answer = await operator.post(sender, json={"to": CHAT, "content": content})
    assert answer.status_code == 202, answer.text
    kept = answer.json()["content"]
    assert (
        {**content, "phoneNumber": "491701234567"} | kept == kept if "name" in kept and "phoneNumber" in kept else True
    )
    assert kept["type"] == content["type"]


async def test_a_reply_keeps_what_it_answers(operator: httpx.AsyncClient, sender: str) -> None:
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
        ({"to": "4917012345", "content": {"type": "text", "text": "x", "data": ""}}, "content.text.data"),
        (
            {"to": "4917012345", "content": {"type": "location", "latitude": 91, "longitude": 0}},
            "content.location.latitude",
        ),
        ({"to": "4917012345", "content": {"type": "image", "data": "not base64!"}}, "content.image.data"),
        ({"to": "4917012345", "content": {"type": "image", "data": "AAAA"}}, "content.mimetype"),
        ({"to": "4917012345", "content": {"type": "document", "data": "AAAA", "mimetype": "a/b"}}, "content.fileName"),
        ({"to": "1-2", "content": {"type": "poll", "question": "?", "options": ["a", "a"]}}, "content.poll"),
        ({"to": "123456@g.us", "content": {"type": "reaction", "messageId": "A", "emoji": "x"}}, "body"),
        ({"to": "123456@g.us", "message": "x", "quote": {"messageId": "A"}}, "body"),
        ({"to": "4917012345", "message": "x", "quote": {"messageId": "../../etc/passwd"}}, "quote.messageId"),
    ],
)
async def test_what_cannot_be_sent(
    operator: httpx.AsyncClient, sender: str, fleet: Fleet, body: dict[str, Any], field: str
) -> None:
    answer = await operator.post(sender, json=body)
    problem(answer, 422, "invalid-input")
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert await fleet.sql("SELECT 1 FROM messages") == []


class TestFiles:
    async def test_in_base64(self, operator: httpx.AsyncClient, sender: str, fleet: Fleet) -> None:
        content = {
            "type": "image",
            "mimetype": "image/jpeg",
            "data": base64.b64encode(PICTURE).decode(),
            "caption": "c",
        }
        answer = await operator.post(sender, json={"to": CHAT, "content": content})
        assert answer.status_code == 202, answer.text
        assert answer.json()["content"] == {"type": "image", "mimetype": "image/jpeg", "caption": "c"}
        assert await fleet.sql("SELECT message_id, size, data FROM message_files") == [
            (answer.json()["id"], len(PICTURE), PICTURE)
        ]

    async def test_as_a_part(self, operator: httpx.AsyncClient, sender: str, fleet: Fleet) -> None:
        message = json.dumps({"to": CHAT, "content": {"type": "document", "caption": "the bill"}})
        files = {"file": ("Rechnung März.pdf", PICTURE, "application/pdf")}
        answer = await operator.post(sender, data={"message": message}, files=files)
        assert answer.status_code == 202, answer.text
        content = answer.json()["content"]
        assert (content["mimetype"], content["fileName"]) == ("application/pdf", "Rechnung März.pdf")
        assert await fleet.sql("SELECT data FROM message_files") == [(PICTURE,)]

    @pytest.mark.parametrize("way", ["base64", "part"])
    async def test_the_largest_and_one_byte_more(
        self, operator: httpx.AsyncClient, sender: str, fleet: Fleet, way: str
    ) -> None:
        largest = bytes(16 << 20)

        async def give(file: bytes) -> httpx.Response:
            content = {"type": "video", "mimetype": "video/mp4"}
            if way == "part":
                message = json.dumps({"to": CHAT, "content": content})
                return await operator.post(sender, data={"message": message}, files={"file": ("v", file)})
            encoded = base64.b64encode(file).decode()
            return await operator.post(sender, json={"to": CHAT, "content": {**content, "data": encoded}})

        assert (await give(largest)).status_code == 202
        assert await fleet.sql("SELECT size, octet_length(data) FROM message_files") == [(16 << 20, 16 << 20)]
        problem(await give(largest + b"x"), 413, "too-large")
        problem(await give(largest * 2), 413, "too-large")

    @pytest.mark.parametrize(
        ("parts", "code"),
        [
            ({"data": {"message": "{}"}, "files": {"other": b"x"}}, "malformed-multipart"),
            ({"data": {"message": "{}", "more": "x"}, "files": {"file": b"x"}}, "malformed-multipart"),
            ({"files": {"message": b"{}"}}, "malformed-multipart"),
            ({"data": {"message": json.dumps(HELLO)}, "files": {"file": b"x"}}, "unexpected-file"),
        ],
    )
    async def test_odd_parts(self, operator: httpx.AsyncClient, sender: str, parts: dict[str, Any], code: str) -> None:
        problem(await operator.post(sender, **parts), 422, code)

    @pytest.mark.parametrize("file", [b"", None])
    async def test_no_file(self, operator: httpx.AsyncClient, sender: str, file: bytes | None) -> None:
        message = json.dumps({"to": CHAT, "content": {"type": "image", "mimetype": "image/png"}})
        files = {"nothing": (None, "")} if file is None else {"file": ("x", file)}
        answer = await operator.post(sender, data={"message": message}, files=files)
        assert answer.status_code == 422

    @pytest.mark.parametrize(
        "raw", [b"", b"--x", b"--x\r\n\r\n", b"\xff" * 50, b"--x\r\nContent-Disposition: form-data\r\n\r\n"]
    )
    async def test_a_multipart_body_that_is_none(self, operator: httpx.AsyncClient, sender: str, raw: bytes) -> None:
        answer = await operator.post(sender, content=raw, headers={"Content-Type": "multipart/form-data; boundary=x"})
        assert answer.status_code == 422
        nothing = await operator.post(sender, content=raw, headers={"Content-Type": "multipart/form-data"})
        assert nothing.status_code == 422

    async def test_hostile_names_and_types(self, operator: httpx.AsyncClient, sender: str) -> None:
        message = json.dumps({"to": CHAT, "content": {"type": "document"}})
        for kind in ("text/html; charset=<x>", "nonsense", "image/<svg>", ""):
            files = {"file": ("x.pdf", b"x", kind)}
            answer = await operator.post(sender, data={"message": message}, files=files)
            assert answer.status_code == 422, kind


@pytest.mark.parametrize("raw", [b"{", b"[1]", b"null", b"\xff", b"[" * 100_000, b'{"to": "\\ud800"}', b'"x"'])
async def test_malformed_json(operator: httpx.AsyncClient, sender: str, raw: bytes) -> None:
    answer = await operator.post(sender, content=raw, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


async def test_where_the_json_is_broken(operator: httpx.AsyncClient, sender: str) -> None:
    answer = await operator.post(sender, content=b'{"to": oops}', headers={"Content-Type": "application/json"})
    assert "character 7" in problem(answer, 400, "malformed-json")


async def test_other_calls_keep_their_limit(operator: httpx.AsyncClient, sender: str) -> None:
    body = json.dumps({"name": "x" * (1 << 20)}).encode()
    answer = await operator.patch("/api/bots/bot-1", content=body, headers={"Content-Type": "application/json"})
    problem(answer, 413, "too-large")


class TestIdempotency:
    async def test_the_same_call_is_the_same_message(
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
    async def test_another_call_with_the_same_key_is_refused(
        self, operator: httpx.AsyncClient, sender: str, change: dict[str, Any]
    ) -> None:
        headers = {"Idempotency-Key": "k"}
        await operator.post(sender, json=HELLO, headers=headers)
        answer = await operator.post(sender, json={**HELLO, **change}, headers=headers)
        problem(answer, 422, "idempotency-key-reused")

    async def test_another_file_is_another_call(self, operator: httpx.AsyncClient, sender: str) -> None:
        headers = {"Idempotency-Key": "k"}
        codes = []
        for file in (b"one", b"one", b"two"):
            content = {"type": "image", "mimetype": "image/png", "data": base64.b64encode(file).decode()}
            answer = await operator.post(sender, json={"to": CHAT, "content": content}, headers=headers)
            codes.append(answer.status_code)
        assert codes == [202, 202, 422]

    async def test_many_callers_at_once_make_one_message(
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
    async def test_it_is_exact_however_many_come_at_once(
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

    async def test_one_name_or_another_is_the_same_recipient(
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

    async def test_queued_ones_get_the_slots_to_come(
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

    async def test_a_repeated_call_takes_no_room(self, operator: httpx.AsyncClient, sender: str, fleet: Fleet) -> None:
        await fleet.sql("UPDATE bots SET settings = '{\"rateLimitMax\": 1}'")
        for _ in range(3):
            answer = await operator.post(sender, json=HELLO, headers={"Idempotency-Key": "k"})
            assert answer.status_code == 202

    async def test_a_cancelled_message_makes_room(self, operator: httpx.AsyncClient, sender: str, fleet: Fleet) -> None:
        await fleet.sql("UPDATE bots SET settings = '{\"rateLimitMax\": 1}'")
        made = await operator.post(sender, json=HELLO)
        await operator.delete(made.headers["Location"])
        assert (await operator.post(sender, json=HELLO)).status_code == 202


class TestReading:
    async def test_newest_first_page_by_page(self, operator: httpx.AsyncClient, sender: str) -> None:
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

    async def test_a_stranger_sees_and_changes_nothing(
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
    async def test_odd_ids(self, operator: httpx.AsyncClient, sender: str, odd: str) -> None:
        assert (await operator.get(f"{sender}/{odd}")).status_code == 404


class TestCancelling:
    async def test_a_queued_one(self, operator: httpx.AsyncClient, sender: str, fleet: Fleet) -> None:
        content = {"type": "image", "mimetype": "image/png", "data": "AAAA"}
        made = await operator.post(sender, json={"to": CHAT, "content": content})
        for _ in range(2):
            answer = await operator.delete(made.headers["Location"])
            assert (answer.status_code, answer.json()["state"], answer.json()["reason"]) == (200, "failed", "cancelled")
        assert await fleet.sql("SELECT 1 FROM message_files") == []

    @pytest.mark.parametrize("state", ["sending", "sent", "delivered", "read", "failed"])
    async def test_too_late(self, operator: httpx.AsyncClient, sender: str, fleet: Fleet, state: str) -> None:
        made = await operator.post(sender, json=HELLO)
        await fleet.sql("UPDATE messages SET state = %(state)s", state=state)
        problem(await operator.delete(made.headers["Location"]), 409, "not-queued")


class TestWaiting:
    async def test_for_what_comes_of_it(self, operator: httpx.AsyncClient, sender: str, fleet: Fleet) -> None:
        waiting = asyncio.create_task(operator.post(sender, json=HELLO, params={"wait": 30}))
        sent = "UPDATE messages SET state = 'sent', whatsapp_id = 'W' RETURNING id"
        await eventually(lambda: fleet.sql(sent))
        answer = await waiting
        assert (answer.status_code, answer.json()["state"], answer.json()["messageId"]) == (200, "sent", "W")

    async def test_in_vain(self, operator: httpx.AsyncClient, sender: str) -> None:
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
async def test_a_bot_that_will_not_send(
    operator: httpx.AsyncClient, sender: str, fleet: Fleet, change: str, code: str
) -> None:
    await fleet.sql(change)
    problem(await operator.post(sender, json=HELLO), 409, code)


@pytest.mark.parametrize("phase", ["starting", "degraded", "backing-off", "crash-loop", "pairing"])
async def test_a_bot_that_is_away_gets_it_later(
    operator: httpx.AsyncClient, sender: str, fleet: Fleet, phase: str
) -> None:
    await fleet.observe("bot-1", phase=phase)
    assert (await operator.post(sender, json=HELLO)).status_code == 202


async def test_an_unknown_bot(operator: httpx.AsyncClient) -> None:
    problem(await operator.post("/api/bots/nobody/messages", json=HELLO), 404, "not-found")


async def test_a_viewer_sends_nothing(viewer: httpx.AsyncClient, sender: str, fleet: Fleet) -> None:
    problem(await viewer.post(sender, json=HELLO), 403, "forbidden")
    assert await fleet.sql("SELECT 1 FROM messages") == []
