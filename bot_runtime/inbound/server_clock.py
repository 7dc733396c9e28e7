"""WhatsApp's time, as messages show it: the clock of this machine may be wrong, or be set while it runs. Pure."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def _wall_clock() -> datetime:
    return datetime.now(UTC)


def _elapsed_seconds() -> float:
    """A clock that nobody sets, and that also runs while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ServerClock:
    """Counts from the newest message that was delivered when it was sent; before that it is the wall clock."""

    def __init__(
        self, *, now: Callable[[], datetime] = _wall_clock, elapsed_seconds: Callable[[], float] = _elapsed_seconds
    ) -> None:
        self._now = now
        self._elapsed_seconds = elapsed_seconds
        self._origin: datetime | None = None

    def now(self) -> datetime:
        """WhatsApp's time."""
        return self._now() if self._origin is None else self._origin + self._elapsed()

    @property
    def known(self) -> bool:
        """Whether it does not depend on the wall clock."""
        return self._origin is not None

    def heard(self, at: datetime) -> None:
        """A message that WhatsApp received at this time has just been delivered."""
        origin = at - self._elapsed()
        if self._origin is None or origin > self._origin:
            self._origin = origin

    def _elapsed(self) -> timedelta:
        return timedelta(seconds=self._elapsed_seconds())
