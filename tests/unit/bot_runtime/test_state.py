"""The state machine of the connection."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot_runtime.contract import ConnectionState as State
from bot_runtime.whatsapp.state import HELD, PARKED, ConnectionAction, ConnectionStatus, Signal, advance, backoff

MAX = 4


def after(*signals: Signal, start: State = State.CONNECTING) -> tuple[ConnectionStatus, list[ConnectionAction]]:
    status, actions = ConnectionStatus(start), []
    for signal in signals:
        status, action = advance(status, signal, max_attempts=MAX)
        actions += [action] if action else []
    return status, actions


def test_a_new_bot_pairs_logs_in_and_is_online() -> None:
    assert after(Signal.QR_SHOWN)[0].state is State.PAIRING
    assert after(Signal.QR_SHOWN, Signal.PAIRED) == (ConnectionStatus(State.CONNECTING), [ConnectionAction.AWAIT_LOGIN])
    assert after(Signal.QR_SHOWN, Signal.PAIRED, Signal.CONNECTED)[0] == ConnectionStatus(State.ONLINE)


def test_the_client_gets_one_quick_retry_before_the_runtime_reconnects() -> None:
    status, actions = after(Signal.CONNECTED, Signal.DISCONNECTED)
    assert (status, actions) == (ConnectionStatus(State.RECONNECTING), [ConnectionAction.AWAIT_QUICK_RETRY])
    status, actions = after(Signal.CONNECTED, Signal.DISCONNECTED, Signal.QUICK_RETRY_FAILED)
    assert (status, actions[-1]) == (ConnectionStatus(State.RECONNECTING, 1), ConnectionAction.RECONNECT_NOW)
    status, actions = after(Signal.CONNECTED, Signal.DISCONNECTED, Signal.QUICK_RETRY_FAILED, Signal.ATTEMPT_FAILED)
    assert (status, actions[-1]) == (ConnectionStatus(State.RECONNECTING, 2), ConnectionAction.RECONNECT_LATER)


def test_a_second_drop_before_the_login_counts_as_a_failure() -> None:
    status, actions = after(Signal.CONNECTED, Signal.DISCONNECTED, Signal.DISCONNECTED)
    assert (status, actions[-1]) == (ConnectionStatus(State.RECONNECTING, 1), ConnectionAction.RECONNECT_LATER)


def test_being_online_clears_the_failures() -> None:
    assert after(Signal.ATTEMPT_FAILED, Signal.ATTEMPT_FAILED, Signal.CONNECTED)[0] == ConnectionStatus(State.ONLINE, 0)


def test_a_bot_that_was_never_online_keeps_connecting() -> None:
    assert after(Signal.ATTEMPT_FAILED)[0] == ConnectionStatus(State.CONNECTING, 1)
    assert after(Signal.QR_SHOWN, Signal.ATTEMPT_FAILED)[0] == ConnectionStatus(State.CONNECTING, 1)


def test_reconnecting_fails_after_the_maximum_of_attempts_and_stays_failed() -> None:
    status, actions = after(*[Signal.ATTEMPT_FAILED] * MAX)
    assert (status, actions[-1]) == (ConnectionStatus(State.RECONNECT_FAILED, MAX), ConnectionAction.FAIL)
    for signal in Signal:
        assert advance(status, signal, max_attempts=MAX) == (status, None)


def test_a_deaf_connection_is_renewed_after_the_second_missed_keepalive() -> None:
    assert after(Signal.KEEPALIVE_LOST, start=State.ONLINE) == (ConnectionStatus(State.DEAF), [])
    assert after(Signal.KEEPALIVE_LOST, Signal.KEEPALIVE_LOST, start=State.ONLINE)[1] == [ConnectionAction.DROP_SOCKET]
    assert after(Signal.KEEPALIVE_LOST, Signal.KEEPALIVE_BACK, start=State.ONLINE)[0] == ConnectionStatus(State.ONLINE)


@pytest.mark.parametrize(("signal", "state"), PARKED.items())
def test_states_that_need_a_person_are_left_only_on_request(signal: Signal, state: State) -> None:
    parked, actions = after(signal, start=State.ONLINE)
    assert (parked.state, actions) == (state, [])
    for noise in (Signal.DISCONNECTED, Signal.ATTEMPT_FAILED, Signal.QUICK_RETRY_FAILED, Signal.CONNECTED):
        assert advance(parked, noise, max_attempts=MAX) == (parked, None)
    assert advance(parked, Signal.RESET, max_attempts=MAX) == (ConnectionStatus(), ConnectionAction.RESTART)


@pytest.mark.parametrize("state", [State.ONLINE, State.DEAF])
def test_a_reset_drops_the_socket_of_an_open_connection(state: State) -> None:
    assert after(Signal.RESET, start=state) == (ConnectionStatus(state), [ConnectionAction.DROP_SOCKET])


@pytest.mark.parametrize("state", [State.CONNECTING, State.PAIRING, State.RECONNECTING])
def test_a_reset_restarts_without_an_open_connection(state: State) -> None:
    assert after(Signal.RESET, start=state) == (ConnectionStatus(), [ConnectionAction.RESTART])


def test_a_closing_bot_stays_closing() -> None:
    for signal in Signal:
        assert after(Signal.STOP, signal)[0] == ConnectionStatus(State.CLOSING)


@given(st.lists(st.sampled_from(list(Signal)), max_size=40))
def test_failures_never_exceed_the_limit_and_an_online_bot_has_none(signals: list[Signal]) -> None:
    status = ConnectionStatus()
    for signal in signals:
        status, action = advance(status, signal, max_attempts=MAX)
        assert status.attempts <= MAX
        assert status.state is not State.ONLINE or status.attempts == 0
        assert (action is ConnectionAction.FAIL) <= (status.state is State.RECONNECT_FAILED)


def test_the_backoff_doubles_up_to_five_minutes() -> None:
    delays = [backoff(attempt, 5.0, lambda low, high: (low + high) / 2) for attempt in range(1, 11)]
    assert delays == [5, 10, 20, 40, 80, 160, 300, 300, 300, 300]


def test_the_backoff_has_a_jitter_of_25_percent() -> None:
    assert backoff(1, 4.0, lambda low, _: low) == 3.0
    assert backoff(1, 4.0, lambda _, high: high) == 5.0
    assert all(a <= b for a, b in itertools.pairwise(backoff(n, 1.0, lambda low, _: low) for n in range(1, 99)))


@pytest.mark.parametrize("start", [State.CONNECTING, State.PAIRING, State.ONLINE, State.DEAF, State.RECONNECTING])
@pytest.mark.parametrize(("signal", "state"), HELD.items())
def test_a_bot_without_room_disconnects_and_connects_when_there_is_room(
    start: State, signal: Signal, state: State
) -> None:
    held, actions = after(signal, start=start)
    assert (held, actions) == (ConnectionStatus(state), [ConnectionAction.HANG_UP])
    for other in (Signal.DISCONNECTED, Signal.ATTEMPT_FAILED, Signal.CONNECTED, Signal.QR_SHOWN, Signal.RESET, signal):
        assert advance(held, other, max_attempts=MAX) == (held, None)
    assert advance(held, Signal.ROOM, max_attempts=MAX) == (ConnectionStatus(), ConnectionAction.DIAL)


@pytest.mark.parametrize("parked", PARKED.values())
@pytest.mark.parametrize("signal", [*HELD, Signal.ROOM])
def test_a_state_that_needs_a_person_does_not_depend_on_room(parked: State, signal: Signal) -> None:
    assert after(signal, start=parked) == (ConnectionStatus(parked), [])
