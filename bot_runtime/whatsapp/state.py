"""The connection's state machine: pure, so that every path can be tested without a network.

    connecting ──▶ pairing ──▶ (paired) connecting ──▶ online ──▶ reconnecting ──▶ online
                      │                                 │  ▲            │
                      ▼                                 ▼  │            ▼
               pairing-expired                          deaf     reconnect-failed
    from anywhere: conflict, logged-out, banned, outdated, closing

whatsmeow reconnects by itself, at once and then every few seconds more, for ever. Its first try is kept, because most
drops last a second; when it does not succeed within the base delay, the client is stopped and the runtime goes on with
its own backoff, which is counted, visible and ends.
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
    """The client's own first try to reconnect did not succeed in time."""
    ATTEMPT_FAILED = auto()
    KEEPALIVE_LOST = auto()
    KEEPALIVE_BACK = auto()
    REPLACED = auto()
    LOGGED_OUT = auto()
    BANNED = auto()
    OUTDATED = auto()
    RESET = auto()
    """A person wants a new connection, or a new QR."""
    STOP = auto()


class Action(Enum):
    """What the driver has to do about it."""

    AWAIT_QUICK_RETRY = auto()
    """Give the client's own reconnect the base delay, then signal QUICK_RETRY_FAILED."""
    AWAIT_LOGIN = auto()
    """Signal ATTEMPT_FAILED when there is no login for very long."""
    RECONNECT_NOW = auto()
    RECONNECT_LATER = auto()
    """Stop the client and connect again after `backoff`."""
    DROP_SOCKET = auto()
    """Cut the TCP connection: the client reconnects at once."""
    RESTART = auto()
    """Start the process anew in place: neonize cannot pair twice in one process."""
    GIVE_UP = auto()


@dataclass(frozen=True, slots=True)
class Link:
    """The connection as far as decisions need it. `attempts` counts consecutive failures, 0 while online."""

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
"""Where a connection stays until a person acts: trying again by itself would make it worse."""
_PARKED_STATES = frozenset(PARKED.values())
_UP = frozenset({ConnectionState.ONLINE, ConnectionState.DEAF})


def advance(link: Link, signal: Signal, *, max_attempts: int) -> tuple[Link, Action | None]:
    """The link after `signal`, and what to do."""
    if link.state in _FINAL:
        return link, None
    if signal is Signal.STOP:
        return Link(ConnectionState.CLOSING), None
    if signal is Signal.RESET:
        if link.state in _UP:
            return link, Action.DROP_SOCKET
        return Link(), Action.RESTART
    if link.state in _PARKED_STATES:
        return (link, None) if signal not in PARKED else (Link(PARKED[signal]), None)
    if signal in PARKED:
        return Link(PARKED[signal]), None
    return _transition(link, signal, max_attempts)


def _transition(link: Link, signal: Signal, max_attempts: int) -> tuple[Link, Action | None]:
    match signal:
        case Signal.QR_SHOWN:
            return Link(ConnectionState.PAIRING), None
        case Signal.PAIRED:
            return Link(ConnectionState.CONNECTING), Action.AWAIT_LOGIN
        case Signal.CONNECTED:
            return Link(ConnectionState.ONLINE), None
        case Signal.KEEPALIVE_LOST if link.state is ConnectionState.DEAF:
            return link, Action.DROP_SOCKET
        case Signal.KEEPALIVE_LOST if link.state is ConnectionState.ONLINE:
            return replace(link, state=ConnectionState.DEAF), None
        case Signal.KEEPALIVE_BACK if link.state is ConnectionState.DEAF:
            return Link(ConnectionState.ONLINE), None
        case Signal.DISCONNECTED if link.state in _UP:
            return Link(ConnectionState.RECONNECTING), Action.AWAIT_QUICK_RETRY
        case Signal.QUICK_RETRY_FAILED:
            return _failed(link, Action.RECONNECT_NOW, max_attempts)
        case Signal.DISCONNECTED | Signal.ATTEMPT_FAILED:
            return _failed(link, Action.RECONNECT_LATER, max_attempts)
    return link, None


def _failed(link: Link, then: Action, max_attempts: int) -> tuple[Link, Action]:
    attempts = link.attempts + 1
    if attempts >= max_attempts:
        return Link(ConnectionState.RECONNECT_FAILED, attempts), Action.GIVE_UP
    was_up = link.state in _UP or link.state is ConnectionState.RECONNECTING
    return Link(ConnectionState.RECONNECTING if was_up else ConnectionState.CONNECTING, attempts), then


def backoff(attempts: int, base: float, uniform: Callable[[float, float], float]) -> float:
    """Seconds to wait after `attempts` failures (from 1): base, 2 base, 4 base …, at most 300, ±25 %."""
    return min(base * 2.0 ** min(attempts - 1, 16), MAX_DELAY_SECONDS) * uniform(1 - JITTER, 1 + JITTER)
