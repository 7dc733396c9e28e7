"""What is said of a connection that does not work."""

from datetime import UTC, datetime

import pytest

from bot_runtime.contract import ConnectionState, Fault
from orchestrator.reconcile.connection_message import MAX_ERROR_CHARACTERS, connection_message
from tests.unit.reconcile.test_reconciler import NOW, health

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DNS = Fault(code="connect-failed", message="lookup web.whatsapp.com: no such host", at=NOW)
REFUSED = Fault(code="connect-failure", message="WhatsApp refused: no reason", at=NOW)


@pytest.mark.parametrize("state", [ConnectionState.CONNECTING, ConnectionState.RECONNECTING])
def test_an_unreachable_network_is_described_with_the_next_attempt_and_what_to_check(state: ConnectionState) -> None:
    assert connection_message(health(state, last_error=DNS, connection_attempts=2, next_attempt_at=AT)) == (
        "cannot connect to WhatsApp: lookup web.whatsapp.com: no such host; next attempt at 03:04:05 UTC; "
        "check DNS, proxy and firewall of the bots' network"
    )


def test_there_is_no_next_attempt_during_an_attempt_and_after_the_last_one() -> None:
    during = connection_message(health(ConnectionState.CONNECTING, last_error=DNS, connection_attempts=2))
    after = connection_message(health(ConnectionState.RECONNECT_FAILED, last_error=DNS, connection_attempts=10))
    assert during == after
    assert "next attempt" not in during
    assert "check DNS" in during


def test_a_refusal_by_whatsapp_is_no_reason_to_check_the_network() -> None:
    said = connection_message(health(ConnectionState.CONNECTING, last_error=REFUSED, connection_attempts=1))
    assert said == "cannot connect to WhatsApp: WhatsApp refused: no reason"


@pytest.mark.parametrize("state", [ConnectionState.ONLINE, ConnectionState.PAIRING, ConnectionState.CLOSING])
def test_an_earlier_error_is_not_relevant_to_a_connection_that_works(state: ConnectionState) -> None:
    assert connection_message(health(state, last_error=DNS, connection_attempts=1)) == ""


def test_before_the_first_failed_attempt_only_the_reason_of_the_interruption_is_said() -> None:
    assert connection_message(health(ConnectionState.CONNECTING, last_error=DNS)) == ""
    assert connection_message(health(ConnectionState.RECONNECTING, last_error=DNS)) == DNS.message
    assert connection_message(health(ConnectionState.CONNECTING, connection_attempts=1)) == ""


def test_a_long_error_is_cut() -> None:
    long = Fault(code="connect-failed", message="z" * 5000, at=NOW)
    said = connection_message(health(ConnectionState.CONNECTING, last_error=long, connection_attempts=1))
    assert said.count("z") == MAX_ERROR_CHARACTERS
