"""Failures on demand: which one is in force for whom, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class FailureKind(StrEnum):
    """What can be made to go wrong; see the control API for what each one does."""

    DROP = "drop"
    UNAVAILABLE = "unavailable"
    REPLACED = "replaced"
    LOGGED_OUT = "logged-out"
    BANNED = "banned"
    OUTDATED = "outdated"
    DEAF = "deaf"
    SLOW = "slow"
    REFUSE = "refuse"


#: Over when they have struck the open connections, unless a time or a count is given.
ONE_STRIKE = {FailureKind.DROP, FailureKind.REPLACED, FailureKind.LOGGED_OUT}


@dataclass(slots=True)
class Failure:
    """A failure in force. `until`: Unix seconds; `strikes`: connections it may still hit; None means no limit."""

    kind: FailureKind
    until: float | None
    strikes: int | None
    delay: float

    def in_force(self, now: float) -> bool:
        """Whether it still strikes."""
        return (self.until is None or now < self.until) and (self.strikes is None or self.strikes > 0)


class FailureBoard:
    """One failure per account at most, and one for everybody; an account's own goes before that."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_phone: dict[str, Failure] = {}
        self._everybody: Failure | None = None

    def put(
        self, phone: str | None, kind: FailureKind, *, seconds: float | None, count: int | None, delay: float
    ) -> Failure:
        """Put a failure in force for an account, or for everybody (None), in place of the one before."""
        if kind in ONE_STRIKE and seconds is None and count is None:
            count = 1
        failure = Failure(kind, None if seconds is None else self._clock() + seconds, count, delay)
        if phone is None:
            self._everybody = failure
        else:
            self._by_phone[phone] = failure
        return failure

    def clear(self, phone: str | None) -> None:
        """End the failure of an account, or of everybody."""
        if phone is None:
            self._everybody = None
        else:
            self._by_phone.pop(phone, None)

    def own(self, phone: str | None) -> Failure | None:
        """The failure in force that was put for exactly this account, or for everybody (None)."""
        failure = self._everybody if phone is None else self._by_phone.get(phone)
        return failure if failure and failure.in_force(self._clock()) else None

    def current(self, phone: str | None) -> Failure | None:
        """The failure that a connection of this account (None: not linked yet) meets now."""
        return (self.own(phone) if phone else None) or self.own(None)

    def strike(self, phone: str | None, *kinds: FailureKind) -> Failure | None:
        """Like `current`, but only one of these kinds, and it counts as a connection hit."""
        failure = self.current(phone)
        if failure is None or failure.kind not in kinds:
            return None
        if failure.strikes is not None:
            failure.strikes -= 1
        return failure
