"""How often a bot is asked for events: ordinary ones at once, others at a limited rate."""

from orchestrator.reconcile.pace import (
    BYTES_AT_ONCE,
    BYTES_PER_SECOND,
    EVENT_BYTES,
    MAX_DELAY_SECONDS,
    REQUESTS_AT_ONCE,
    REQUESTS_PER_SECOND,
    Pace,
)


def waits(number: int, *, every_seconds: float, fruitful: bool = True, events: int = 1, size: int = 500) -> list[float]:
    """The delays after so many answers that come after `every_seconds`, each after the delay of the one before."""
    pace, now, found = Pace(), 0.0, []
    for _ in range(number):
        now += every_seconds
        found.append(pace.wait_seconds(fruitful=fruitful, events=events, size=size, now=now))
        now += found[-1]
    return found


def test_a_busy_bot_is_asked_again_at_once() -> None:
    assert not any(waits(2_000, every_seconds=0.1))


def test_a_burst_of_thousands_of_events_is_taken_at_once() -> None:
    assert not any(waits(60, every_seconds=0.002, events=200, size=200_000))


def test_a_backlog_of_two_hours_is_mostly_taken_at_once() -> None:
    delays = waits(72_000 // 200, every_seconds=0.02, events=200, size=200 * 1024)
    assert not any(delays[:200])
    assert sum(delays) < 240


def test_a_bot_that_answers_at_once_with_one_event_is_asked_at_the_allowed_rate() -> None:
    delays = waits(3_000, every_seconds=0.001)
    assert sum(delays) >= (3_000 - REQUESTS_AT_ONCE) / REQUESTS_PER_SECOND - 4


def test_a_bot_that_answers_with_large_pages_is_limited_in_bytes() -> None:
    delays = waits(500, every_seconds=0.001, events=1, size=1 << 20)
    assert sum(delays) >= (500 * (1 << 20) - BYTES_AT_ONCE) / BYTES_PER_SECOND - 4
    assert EVENT_BYTES < 1 << 20


def test_answers_without_anything_new_are_requested_after_growing_delays() -> None:
    delays = waits(20, every_seconds=0.001, fruitful=False, events=0, size=60)
    assert delays[:4] == [0.0, 0.1, 0.2, 0.4], "one of them is ordinary"
    assert delays[-1] == MAX_DELAY_SECONDS


def test_something_new_ends_the_delays() -> None:
    pace = Pace()
    for number in range(5):
        pace.wait_seconds(fruitful=False, events=0, size=60, now=number)
    assert pace.wait_seconds(fruitful=True, events=1, size=60, now=9) == 0.0
