"""The runtime keeps its events within the limits that the orchestrator checks, whatever strangers send."""

import json

import pytest

from bot_runtime.contract import MAX_EVENT_BYTES, flaw_of
from bot_runtime.storage.event_limits import encode
from orchestrator.clients.bot_answers import read_page


@pytest.mark.parametrize("text", ["short", "\x01" * 65_536, "\n" * 65_536, "🎉" * 16_384])
def test_a_message_of_any_text_is_stored(text: str) -> None:
    message = {"id": "3EB0", "text": text, "media": {"caption": text, "size": (1 << 64) - 1}, "quoted": {"text": text}}
    data, encoded = encode({"messages": [message], "type": "notify"})
    assert json.loads(encoded) == data
    assert data["messages"][0]["id"] == "3EB0"
    assert data["messages"][0]["text"][:5] == text[:5]
    event = {"seq": 1, "type": "message-upsert", "data": data, "timestamp": "2026-01-02T03:04:05.678901+00:00"}
    body = json.dumps({"spoolId": "s", "items": [event], "next": 1}, separators=(",", ":"), ensure_ascii=False)
    assert read_page(body.encode(), spool="s", after=0, limit=1).violation == ""


def test_texts_that_fit_are_not_shortened() -> None:
    data = {"messages": [{"text": "x" * 65_536, "media": {"caption": "x" * 65_536}}]}
    assert encode(data)[0] is data


def test_what_cannot_be_shortened_is_omitted() -> None:
    data, encoded = encode({"groups": [f"{number}@g.us" for number in range(100_000)]})
    assert list(data) == ["omitted"]
    assert len(encoded) < MAX_EVENT_BYTES
    assert flaw_of(data) == ""
