"""How often one bot is asked for its events, and how much of them is taken from it. Pure.

An ordinary bot never notices: it is asked again at once, and its backlog after an outage is taken in as fast as
Postgres stores it. Beyond that, and for pages without anything new, the controller waits. So no bot, however fast it
answers, takes more than its share of the controller and of Postgres.
"""

REQUESTS_PER_SECOND, REQUESTS_AT_ONCE = 20.0, 400.0
"""A bot with more than so many events a second gets them taken in larger pages."""
BYTES_PER_SECOND, BYTES_AT_ONCE = float(512 << 10), float(128 << 20)
DAY_SECONDS = 86_400.0
BYTES_PER_DAY = float(4 << 30)
"""Twice what ten messages a second amount to."""
EVENT_BYTES = 2048
"""What storing an event costs besides its bytes."""
MIN_DELAY_SECONDS, MAX_DELAY_SECONDS = 0.1, 10.0
"""Between requests that bring nothing new, doubled with each."""


class Allowance:
    """An amount that grows with time up to `at_once`, and may be overdrawn. Times are of a clock that does not jump."""

    def __init__(self, *, per_second: float, at_once: float) -> None:
        self._per_second = per_second
        self._at_once = at_once
        self._available = at_once
        self._updated_at = 0.0

    def spend(self, amount: float, *, now: float) -> None:
        """Take an amount."""
        grown = self._available + max(0.0, now - self._updated_at) * self._per_second
        self._available, self._updated_at = min(self._at_once, grown) - amount, now

    def wait_seconds(self) -> float:
        """How long after the last `spend` it is overdrawn."""
        return max(0.0, -self._available / self._per_second)


class Pace:
    """Of one bot, for as long as this process is the leader."""

    def __init__(self) -> None:
        self._requests = Allowance(per_second=REQUESTS_PER_SECOND, at_once=REQUESTS_AT_ONCE)
        self._bytes = Allowance(per_second=BYTES_PER_SECOND, at_once=BYTES_AT_ONCE)
        self._day = Allowance(per_second=BYTES_PER_DAY / DAY_SECONDS, at_once=BYTES_PER_DAY)
        self._fruitless = 0

    def wait_seconds(self, *, fruitful: bool, events: int, size: int, now: float) -> float:
        """How long to wait after an answer of `size` bytes.

        `fruitful`: it had new events within the limits, or came after the time that the bot was to wait for one.
        """
        self._requests.spend(1, now=now)
        amount = size + events * EVENT_BYTES
        self._bytes.spend(amount, now=now)
        self._day.spend(amount, now=now)
        # One of the others is ordinary: the first of a bot whose volume is new, or whose events were dropped.
        self._fruitless = 0 if fruitful else self._fruitless + 1
        delay = 0.0
        if self._fruitless > 1:
            delay = min(MIN_DELAY_SECONDS * 2.0 ** min(self._fruitless - 2, 16), MAX_DELAY_SECONDS)
        return max(delay, self._requests.wait_seconds(), self._bytes.wait_seconds(), self._day.wait_seconds())
