"""The state machine of the connection. Pure, so that every path can be tested without a network.

    connecting ──▶ pairing ──▶ (paired) connecting ──▶ online ──▶ reconnecting ──▶ online
                      │                                 │  ▲            │
                      ▼                                 ▼  │            ▼
               pairing-expired                          deaf     reconnect-failed
    from anywhere: conflict, logged-out, banned, outdated, closing; disk-full,
    disk-error, spool-full and back to connecting

whatsmeow reconnects by itself: immediately, then with delays that grow by a few seconds, without end. Its first attempt
is used, because most drops last a second. If it does not succeed within the base delay, the client is stopped and the
runtime continues with its own backoff, which is counted, visible and bounded.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto

from bot_runtime.contract import ConnectionState

MAX_DELAY_SECONDS = 300.0
JITTER = 0.25


class Signal(Enum):
    """What happened to the connection."""

    QR_SHOWN = auto()
    QR_EXPIRED = auto()
    PAIRED = auto()
    CONNECTED = auto()
    DISCONNECTED = auto()
    QUICK_RETRY_FAILED = auto()
    """The client's own first attempt to reconnect did not succeed in time."""
    ATTEMPT_FAILED = auto()
    KEEPALIVE_LOST = auto()
    KEEPALIVE_BACK = auto()
    REPLACED = auto()
    LOGGED_OUT = auto()
    BANNED = auto()
    OUTDATED = auto()
    DISK_FULL = auto()
    DISK_ERROR = auto()
    SPOOL_FULL = auto()
    ROOM = auto()
    """There is room again for what arrives."""
    RESET = auto()
    """A new connection, or a new QR code, was requested."""
    STOP = auto()


class ConnectionAction(Enum):
    """What the driver has to do."""

    AWAIT_QUICK_RETRY = auto()
    """Give the client's own reconnect the base delay, then signal QUICK_RETRY_FAILED."""
    AWAIT_LOGIN = auto()
    """Signal ATTEMPT_FAILED when the login times out."""
    RECONNECT_NOW = auto()
    RECONNECT_LATER = auto()
    """Stop the client and connect again after `backoff`."""
    DROP_SOCKET = auto()
    """Cut the TCP connection: the client reconnects at once."""
    HANG_UP = auto()
    """Stop the client."""
    DIAL = auto()
    """Connect again after HANG_UP."""
    RESTART = auto()
    """Restart the process in place: neonize cannot pair twice in one process."""
    FAIL = auto()
    """Stop retrying: all attempts have failed."""


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """What decisions about the connection depend on. `attempts` counts consecutive failures, 0 while online."""

    state: ConnectionState = ConnectionState.CONNECTING
    attempts: int = 0


_FINAL = frozenset({ConnectionState.CLOSING, ConnectionState.RECONNECT_FAILED})
PARKED = {
    Signal.QR_EXPIRED: ConnectionState.PAIRING_EXPIRED,
    Signal.REPLACED: ConnectionState.CONFLICT,
    Signal.LOGGED_OUT: ConnectionState.LOGGED_OUT,
    Signal.BANNED: ConnectionState.BANNED,
    Signal.OUTDATED: ConnectionState.OUTDATED,
}
"""States that a connection leaves only on request: retrying automatically would make matters worse."""
HELD = {
    Signal.DISK_FULL: ConnectionState.DISK_FULL,
    Signal.DISK_ERROR: ConnectionState.DISK_ERROR,
    Signal.SPOOL_FULL: ConnectionState.SPOOL_FULL,
}
"""States without a connection: there is no room for what arrives. They end with Signal.ROOM."""
HELD_STATES = frozenset(HELD.values())
_PARKED_STATES = frozenset(PARKED.values())
_UP = frozenset({ConnectionState.ONLINE, ConnectionState.DEAF})


def advance(
    status: ConnectionStatus, signal: Signal, *, max_attempts: int
) -> tuple[ConnectionStatus, ConnectionAction | None]:
    """The status after `signal`, and what to do."""
    if status.state in _FINAL:
        return status, None
    if signal is Signal.STOP:
        return ConnectionStatus(ConnectionState.CLOSING), None
    if signal is Signal.RESET and status.state not in HELD_STATES:
        if status.state in _UP:
            return status, ConnectionAction.DROP_SOCKET
        return ConnectionStatus(), ConnectionAction.RESTART
    if status.state in _PARKED_STATES:
        return (status, None) if signal not in PARKED else (ConnectionStatus(PARKED[signal]), None)
    if signal in PARKED:
        return ConnectionStatus(PARKED[signal]), None
    if signal in HELD:
        held = status.state in HELD_STATES
        return ConnectionStatus(HELD[signal]), None if held else ConnectionAction.HANG_UP
    if status.state in HELD_STATES:
        return (ConnectionStatus(), ConnectionAction.DIAL) if signal is Signal.ROOM else (status, None)
    return _transition(status, signal, max_attempts)


def _transition(
    status: ConnectionStatus, signal: Signal, max_attempts: int
) -> tuple[ConnectionStatus, ConnectionAction | None]:
    match signal:
        case Signal.QR_SHOWN:
            return ConnectionStatus(ConnectionState.PAIRING), None
        case Signal.PAIRED:
            return ConnectionStatus(ConnectionState.CONNECTING), ConnectionAction.AWAIT_LOGIN
        case Signal.CONNECTED:
            return ConnectionStatus(ConnectionState.ONLINE), None
        case Signal.KEEPALIVE_LOST if status.state is ConnectionState.DEAF:
            return status, ConnectionAction.DROP_SOCKET
        case Signal.KEEPALIVE_LOST if status.state is ConnectionState.ONLINE:
            return replace(status, state=ConnectionState.DEAF), None
        case Signal.KEEPALIVE_BACK if status.state is ConnectionState.DEAF:
            return ConnectionStatus(ConnectionState.ONLINE), None
        case Signal.DISCONNECTED if status.state in _UP:
            return ConnectionStatus(ConnectionState.RECONNECTING), ConnectionAction.AWAIT_QUICK_RETRY
        case Signal.QUICK_RETRY_FAILED:
            return _failed(status, ConnectionAction.RECONNECT_NOW, max_attempts)
        case Signal.DISCONNECTED | Signal.ATTEMPT_FAILED:
            return _failed(status, ConnectionAction.RECONNECT_LATER, max_attempts)
    return status, None


def _failed(
    status: ConnectionStatus, then: ConnectionAction, max_attempts: int
) -> tuple[ConnectionStatus, ConnectionAction]:
    attempts = status.attempts + 1
    if attempts >= max_attempts:
        return ConnectionStatus(ConnectionState.RECONNECT_FAILED, attempts), ConnectionAction.FAIL
    was_up = status.state in _UP or status.state is ConnectionState.RECONNECTING
    return ConnectionStatus(ConnectionState.RECONNECTING if was_up else ConnectionState.CONNECTING, attempts), then


def backoff(attempts: int, base_seconds: float, uniform: Callable[[float, float], float]) -> float:
    """Seconds to wait after `attempts` failures (from 1): base, 2 × base, 4 × base …, at most 300, ±25 %."""
    return min(base_seconds * 2.0 ** min(attempts - 1, 16), MAX_DELAY_SECONDS) * uniform(1 - JITTER, 1 + JITTER)
