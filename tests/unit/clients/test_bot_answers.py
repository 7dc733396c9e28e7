"""What a bot answers becomes values that are within the limits of the contract, or an error."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from bot_runtime import contract
from bot_runtime.contract import EventType
from orchestrator.clients.bot_answers import (
    MAX_RETRY_MS,
    MIN_RETRY_MS,
    ReceivedPage,
    read_answer,
    read_error,
    read_page,
)
from orchestrator.clients.bot_errors import ProtocolViolationError

NOW = "2026-01-02T03:04:05Z"
HEALTH: dict[str, Any] = {
    "botId": "bot-1",
    "serverName": "server1",
    "bootId": "boot-1",
    "startedAt": NOW,
    "connection": "online",
    "since": NOW,
    "phoneNumber": "491700000001",
    "pushName": "Ada",
    "lastHeartbeat": NOW,
    "lastActivity": None,
    "connectionAttempts": 0,
    "lastError": {"code": "connect-failed", "message": "no such host", "at": NOW},
    "events": {"spoolId": "a1b2", "lastSeq": 7, "ackedSeq": 7},
    "eventHistorySize": 7,
    "credsUpdatedAt": NOW,
    "configGeneration": 3,
    "memoryBytes": 50_000_000,
    "versions": {"runtime": "1.0", "neonize": "0.5", "python": "3.13"},
}


def health(**changes: Any) -> contract.Health:
    return read_answer(json.dumps({**HEALTH, **changes}).encode(), contract.Health)


def test_an_ordinary_health_is_read_as_it_is() -> None:
    found = health(mood="new in a later version")
    assert (found.connection, found.push_name, found.events.last_seq) == ("online", "Ada", 7)
    assert health(connection="hibernating").connection == "hibernating"


@pytest.mark.parametrize(
    "changes",
    [
        {"credsUpdatedAt": "0001-01-01T00:00:00+14:00"},
        {"since": "9999-12-31T23:59:59-14:00"},
        {"lastHeartbeat": "2030-01-01T00:00:00"},
        {"lastError": {"code": "x", "message": "", "at": "2100-01-01T00:00:00Z"}},
        {"lastError": {"code": "Not A Code\n", "message": "", "at": NOW}},
        {"connectionAttempts": 1 << 40},
        {"eventHistorySize": -1},
        {"configGeneration": 1 << 63},
        {"events": {"spoolId": "a", "lastSeq": -1, "ackedSeq": 0}},
        {"events": {"spoolId": "../a", "lastSeq": 1, "ackedSeq": 0}},
        {"connection": "x" * 65},
        {"connection": "online\n"},
        {"phoneNumber": "<b>"},
        {"bootId": ""},
        {"memoryBytes": "12 MB"},
    ],
    ids=str,
)
def test_what_is_not_in_its_form_or_range_is_a_violation(changes: dict[str, Any]) -> None:
    with pytest.raises(ProtocolViolationError):
        health(**changes)


def test_texts_for_people_are_truncated_and_printable() -> None:
    found = health(pushName="a\0b\n\u202e", lastError={"code": "x", "message": "y" * 2_000_000, "at": NOW})
    assert found.push_name == "a\ufffdb\ufffd\ufffd"
    assert found.last_error is not None
    assert len(found.last_error.message) == contract.MAX_TEXT_CHARACTERS


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"code": "x"}'])
def test_anything_but_the_expected_json_is_a_violation(body: bytes) -> None:
    for kind in (contract.Health, contract.Error, contract.Qr):
        with pytest.raises(ProtocolViolationError) as caught:
            read_answer(body, kind)
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (contract.Qr, {"code": "x" * 4000, "expiresAt": NOW}),
        (contract.Qr, {"code": "ümlaut", "expiresAt": NOW}),
        (contract.PairCode, {"code": "<script>", "expiresAt": NOW}),
        (contract.SendResult, {"messageId": "a/b", "timestamp": NOW, "repeated": False}),
    ],
)
def test_codes_and_message_ids_have_a_form(kind: Any, body: dict[str, Any]) -> None:
    with pytest.raises(ProtocolViolationError):
        read_answer(json.dumps(body).encode(), kind)


@pytest.mark.parametrize(
    ("asked", "found"), [(300_000_000_000_000, MAX_RETRY_MS), (-5, MIN_RETRY_MS), (1500, 1500), (None, None)]
)
def test_a_bot_cannot_postpone_a_retry_at_will(asked: int | None, found: int | None) -> None:
    body = {"code": "rate-limited", "message": "later", "retryAfterMs": asked}
    assert read_error(json.dumps(body).encode()).retry_after_ms == found


def event(seq: Any, kind: Any = "error", data: Any = None, **more: Any) -> dict[str, Any]:
    return {"seq": seq, "type": kind, "data": {} if data is None else data, "timestamp": NOW, **more}


def page(*items: Any, spool: str = "s", after: int = 0, limit: int = 200, **more: Any) -> ReceivedPage:
    last = max([item["seq"] for item in items if isinstance(item.get("seq"), int)], default=after)
    body = {"spoolId": spool, "items": items, "next": last, **more}
    return read_page(json.dumps(body).encode(), spool="s", after=after, limit=limit)


def test_an_ordinary_page_is_read_as_it_is() -> None:
    found = page(event(8, "message-upsert", {"messages": [{"text": "hi"}]}), event(11), after=7)
    assert [item.seq for item in found.items] == [8, 11]
    assert found.items[0].data == {"messages": [{"text": "hi"}]}
    assert found.items[0].timestamp == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert found.violation == ""


@pytest.mark.parametrize("kind", sorted(contract.ORCHESTRATOR_EVENTS))
@pytest.mark.parametrize("data", [{"from": "online", "to": "stopped"}, [1]])
def test_a_bot_cannot_send_an_event_of_the_orchestrator(kind: EventType, data: Any) -> None:
    found = page(event(1, kind, data), event(2))
    assert [item.type for item in found.items] == ["protocol-violation", "error"]
    assert found.items[0].data["type"] == kind
    assert found.violation


@pytest.mark.parametrize(
    "data",
    [
        {"text": "x" * contract.MAX_EVENT_BYTES},
        {"deep": json.loads("[" * 40 + "]" * 40)},
        {"many": [0] * 30_000},
        {"number": 1 << 64},
    ],
    ids=["bytes", "depth", "values", "number"],
)
def test_an_event_beyond_the_limits_is_replaced_and_holds_up_no_other(data: Any) -> None:
    found = page(event(1, "message-upsert", data), event(2))
    assert [(item.seq, item.type) for item in found.items] == [(1, "protocol-violation"), (2, "error")]
    assert found.items[0].data["type"] == "message-upsert"
    assert len(json.dumps(found.items[0].data)) < 1000
    assert "event 1" in found.violation


def test_an_event_that_cannot_be_read_is_stored_as_it_is() -> None:
    newer = event(1, "hologram-received", [1, 2])
    found = page(newer, event(2, "Not A Type"), event(3, timestamp="at noon"))
    assert [item.type for item in found.items] == ["hologram-received", "unreadable", "error"]
    assert json.loads(found.items[0].data["unreadable"]) == newer
    assert found.violation == "", "a newer runtime sent them"


def test_an_event_without_a_valid_number_is_dropped() -> None:
    found = page(event("two"), event(1 << 70), event(-1), {}, event(5), next=5)
    assert [item.seq for item in found.items] == [5]
    assert found.violation


@pytest.mark.parametrize(
    ("items", "more"),
    [
        ([event(number) for number in range(1, 12)], {"limit": 10}),
        ([event(2), event(2)], {}),
        ([event(7)], {"after": 7}),
        ([event(8)], {"after": 7, "next": 7}),
        ([], {"after": 7, "next": 3}),
        ([], {"next": 1 << 63}),
        ([], {"next": -1}),
        ([], {"spool": "controller-1"}),
        ([], {"spool": "x" * 1000}),
        ([], {"spool": "a\0b"}),
    ],
)
def test_a_page_that_was_not_requested_is_a_violation(items: list[Any], more: dict[str, Any]) -> None:
    with pytest.raises(ProtocolViolationError):
        page(*items, **more)


def test_another_spool_starts_at_its_oldest_event() -> None:
    assert [item.seq for item in page(event(1), event(2), spool="other", after=90, next=2).items] == [1, 2]
