"""Sending a text through a bot."""

import httpx
import pytest

from tests.integration.api.conftest import Fleet, problem
from tests.integration.api.fake_runtime import FakeRuntime
from tests.integration.api.live import live_bot, runtime_port  # noqa: F401

# ruff: noqa: F811

HELLO = {"to": "+49 170 7654321", "message": "Hello 👋\nthere"}


async def test_a_text_is_sent(operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime) -> None:
    answer = await operator.post(f"/api/bots/{live_bot}/messages", json=HELLO)
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"id", "status", "messageId", "timestamp"}
    assert body["status"] == "sent"
    [sent] = fake.sent
    assert (sent.to, sent.text, sent.client_id) == ("491707654321", HELLO["message"], body["id"])


@pytest.mark.parametrize("to", ["491707654321@s.whatsapp.net", "12345678901234@lid", "120363041234567890@g.us"])
async def test_a_chat_id_goes_through_as_it_is(
    operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime, to: str
) -> None:
    assert (await operator.post(f"/api/bots/{live_bot}/messages", json={**HELLO, "to": to})).status_code == 200
    assert fake.sent[0].to == to


async def test_a_repeated_key_sends_once(operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime) -> None:
    path, headers = f"/api/bots/{live_bot}/messages", {"Idempotency-Key": "order 17 / shipped"}
    first = await operator.post(path, json=HELLO, headers=headers)
    again = await operator.post(path, json=HELLO, headers=headers)
    other = await operator.post(path, json=HELLO, headers={"Idempotency-Key": "order 18"})
    assert again.json() == first.json()
    assert other.json()["id"] != first.json()["id"]
    assert len(fake.sent) == 2


async def test_without_a_key_each_call_sends(operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime) -> None:
    for _ in range(2):
        await operator.post(f"/api/bots/{live_bot}/messages", json=HELLO)
    assert len(fake.sent) == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"to": "nobody", "message": "x"}, "to"),
        ({"to": "0170 1234567", "message": "x"}, "to"),
        ({"to": "1@evil.example", "message": "x"}, "to"),
        ({"to": "4917012345\n", "message": "x"}, "to"),
        ({"to": "4917012345", "message": ""}, "message"),
        ({"to": "4917012345", "message": "a\x00b"}, "message"),
        ({"to": "4917012345", "message": "x" * 65_537}, "message"),
        ({"to": "4917012345", "message": "x", "media": "y"}, "media"),
        ({"message": "x"}, "to"),
    ],
)
async def test_what_cannot_be_sent(
    operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime, body: dict[str, str], field: str
) -> None:
    answer = await operator.post(f"/api/bots/{live_bot}/messages", json=body)
    problem(answer, 422, "invalid-input")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert fake.sent == []


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        ((409, "not-online", "the bot is not online"), 409, "not-online"),
        ((400, "bad-recipient", "not a WhatsApp number"), 422, "bad-recipient"),
        ((502, "whatsapp-refused", "refused"), 502, "whatsapp-refused"),
        ((504, "whatsapp-timeout", "no answer"), 504, "whatsapp-timeout"),
        ((500, "internal", "secret trace"), 503, "bot-error"),
    ],
)
async def test_what_the_bot_answers(
    operator: httpx.AsyncClient,
    live_bot: str,
    fake: FakeRuntime,
    said: tuple[int, str, str],
    status: int,
    code: str,
) -> None:
    fake.fails = said
    detail = problem(await operator.post(f"/api/bots/{live_bot}/messages", json=HELLO), status, code)
    assert "secret" not in detail


async def test_a_bot_that_does_not_run(operator: httpx.AsyncClient, bot: str) -> None:
    problem(await operator.post(f"/api/bots/{bot}/messages", json=HELLO), 409, "not-online")


async def test_a_bot_that_cannot_be_reached(operator: httpx.AsyncClient, live_bot: str, fleet: Fleet) -> None:
    await fleet.observe(live_bot, address="127.0.0.99")
    problem(await operator.post(f"/api/bots/{live_bot}/messages", json=HELLO), 503, "bot-unreachable")


async def test_a_bot_that_does_not_answer(
    operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.api.messages.SEND_TIMEOUT_SECONDS", 0.2)
    fake.silent = True
    problem(await operator.post(f"/api/bots/{live_bot}/messages", json=HELLO), 504, "no-answer")


async def test_an_unknown_bot(operator: httpx.AsyncClient) -> None:
    problem(await operator.post("/api/bots/nobody/messages", json=HELLO), 404, "not-found")


async def test_a_viewer_sends_nothing(viewer: httpx.AsyncClient, live_bot: str, fake: FakeRuntime) -> None:
    problem(await viewer.post(f"/api/bots/{live_bot}/messages", json=HELLO), 403, "forbidden")
    assert fake.sent == []
