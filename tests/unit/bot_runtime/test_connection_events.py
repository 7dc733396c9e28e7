"""Changes of the connection become events."""

from datetime import UTC, datetime

import pytest

from bot_runtime.contract import ConnectionState, EventType, Fault, Qr
from bot_runtime.inbound.connection_events import qr_events, state_events

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (ConnectionState.ONLINE, "open"),
        (ConnectionState.CONNECTING, "connecting"),
        (ConnectionState.RECONNECTING, "connecting"),
        (ConnectionState.DEAF, "close"),
        (ConnectionState.LOGGED_OUT, "close"),
    ],
)
def test_a_state_is_an_update_with_its_short_form(state: ConnectionState, shown: str) -> None:
    assert state_events(state, None) == [(EventType.CONNECTION_UPDATE, {"connection": shown, "state": state})]


def test_a_fault_is_an_error_and_the_reason_of_the_update() -> None:
    fault = Fault(code="disconnected", message="lost", at=NOW)
    error, update = state_events(ConnectionState.RECONNECTING, fault)
    assert error == (EventType.ERROR, {"code": "disconnected", "message": "lost"})
    assert update[1]["reason"] == "disconnected"


def test_a_fault_that_a_check_detected_is_a_failed_health_check() -> None:
    fault = Fault(code="keepalive-timeout", message="no answer", at=NOW)
    assert [event_type for event_type, _ in state_events(ConnectionState.DEAF, fault)] == [
        EventType.ERROR,
        EventType.HEALTH_CHECK_FAILED,
        EventType.CONNECTION_UPDATE,
    ]


def test_pairing_is_reported_by_its_qr_codes_only() -> None:
    assert state_events(ConnectionState.PAIRING, None) == []
    assert [event_type for event_type, _ in qr_events(Qr(code="2@x", expires_at=NOW))] == [
        EventType.CONNECTION_UPDATE,
        EventType.QR,
    ]
