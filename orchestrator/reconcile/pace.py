"""How often one bot is asked for its events, and how much of them is taken from it. Pure.

An ordinary bot never notices: it is asked again at once, and its backlog after an outage is taken in as fast as
Postgres stores it. Beyond that, and for pages without anything new, the controller waits. So no bot, however fast it
answers, takes more than its share of the controller and of Postgres.
"""

from dataclasses import dataclass

REQUESTS_PER_SECOND, REQUESTS_AT_ONCE = 20.0, 400.0
"""A bot with more than so many events a second gets them taken in larger pages."""
BYTES_PER_SECOND, BYTES_AT_ONCE = float(512 << 10), float(128 << 20)
EVENT_BYTES = 2048
"""What storing an event costs besides its bytes."""
MIN_DELAY_SECONDS, MAX_DELAY_SECONDS = 0.1, 10.0
"""Between requests that bring nothing new, doubled with each."""


@dataclass(slots=True)
class Allowance:
    """An amount that grows with time up to `at_once`, and may be overdrawn."""

    per_second: float
    at_once: float
    available: float
    updated_at: float

    @classmethod
    def full(cls, *, per_second: float, at_once: float, now: float) -> "Allowance":
        """All of it is available."""
        return cls(per_second, at_once, at_once, now)

    def spend(self, amount: float, *, now: float) -> None:
        """Take an amount."""
        grown = self.available + max(0.0, now - self.updated_at) * self.per_second
        self.available, self.updated_at = min(self.at_once, grown) - amount, now

    def wait_seconds(self) -> float:
        """How long after the last `spend` it is overdrawn."""
        return max(0.0, -self.available / self.per_second)


class Pace:
    """Of one bot. `now` is in seconds, of a clock that does not jump."""

    def __init__(self, *, now: float) -> None:
        self._requests = Allowance.full(per_second=REQUESTS_PER_SECOND, at_once=REQUESTS_AT_ONCE, now=now)
        self._bytes = Allowance.full(per_second=BYTES_PER_SECOND, at_once=BYTES_AT_ONCE, now=now)
        self._fruitless = 0

    def wait_seconds(self, *, fruitful: bool, events: int, size: int, now: float) -> float:
        """How long to wait after an answer of `size` bytes.

        `fruitful`: it had new events, or came after the time that the bot was to wait for one.
        """
        self._requests.spend(1, now=now)
        self._bytes.spend(size + events * EVENT_BYTES, now=now)
        # One such answer is ordinary: the first of a bot whose volume is new, or whose events were dropped.
        self._fruitless = 0 if fruitful else self._fruitless + 1
        delay = 0.0
        if self._fruitless > 1:
            delay = min(MIN_DELAY_SECONDS * 2.0 ** min(self._fruitless - 2, 16), MAX_DELAY_SECONDS)
        return max(delay, self._requests.wait_seconds(), self._bytes.wait_seconds())
