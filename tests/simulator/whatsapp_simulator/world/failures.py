"""Injected failures: which one is active for which account, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class FailureKind(StrEnum):
    """The kinds of failures; the control API documents what each one does."""

    DROP = "drop"
    UNAVAILABLE = "unavailable"
    REPLACED = "replaced"
    LOGGED_OUT = "logged-out"
    BANNED = "banned"
    OUTDATED = "outdated"
    DEAF = "deaf"
    SLOW = "slow"
    REFUSE = "refuse"


#: These affect one connection, unless a duration or a count is given.
ONE_CONNECTION = {FailureKind.DROP, FailureKind.REPLACED, FailureKind.LOGGED_OUT}


@dataclass(slots=True)
class Failure:
    """An active failure. until: Unix seconds; remaining_connections: how many it may still affect; None: no limit."""

    kind: FailureKind
    until: float | None
    remaining_connections: int | None
    delay_seconds: float

    def in_force(self, now: float) -> bool:
        """Whether the failure is still active."""
        return (self.until is None or now < self.until) and (
            self.remaining_connections is None or self.remaining_connections > 0
        )


class FailureRegistry:
    """At most one failure per account and one for all clients; the account's own takes precedence."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_phone: dict[str, Failure] = {}
        self._everybody: Failure | None = None

    def set(
        self, phone: str | None, kind: FailureKind, *, seconds: float | None, count: int | None, delay_seconds: float
    ) -> Failure:
        """Activate a failure for an account or for all clients (None); replaces the previous one."""
        if kind in ONE_CONNECTION and seconds is None and count is None:
            count = 1
        failure = Failure(kind, None if seconds is None else self._clock() + seconds, count, delay_seconds)
        if phone is None:
            self._everybody = failure
        else:
            self._by_phone[phone] = failure
        return failure

    def clear(self, phone: str | None) -> None:
        """Clear the failure of an account, or the one for all clients (None)."""
        if phone is None:
            self._everybody = None
        else:
            self._by_phone.pop(phone, None)

    def get(self, phone: str | None) -> Failure | None:
        """The active failure that was set for exactly this account, or for all clients (None)."""
        failure = self._everybody if phone is None else self._by_phone.get(phone)
        return failure if failure and failure.in_force(self._clock()) else None

    def current(self, phone: str | None) -> Failure | None:
        """The failure that currently applies to connections of this account (None: unlinked client)."""
        return (self.get(phone) if phone else None) or self.get(None)

    def consume(self, phone: str | None, *kinds: FailureKind) -> Failure | None:
        """Like `current`, but only for these kinds; counts as one affected connection."""
        failure = self.current(phone)
        if failure is None or failure.kind not in kinds:
            return None
        if failure.remaining_connections is not None:
            failure.remaining_connections -= 1
        return failure
