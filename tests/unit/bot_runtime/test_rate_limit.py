"""The sliding window of the rate limit."""

import pytest

from bot_runtime.outbound.rate_limit import seconds_until_room


def wait(*times: float, now: float = 100.0, maximum: int = 3) -> float:
    return seconds_until_room(times, now=now, maximum=maximum, window_seconds=60.0)


def test_below_the_limit_there_is_no_wait() -> None:
    assert wait() == 0
    assert wait(90, 95) == 0


def test_at_the_limit_the_wait_ends_when_the_oldest_leaves_the_window() -> None:
    assert wait(50, 70, 90) == 10
    assert wait(90, 50, 70) == 10


def test_messages_outside_the_window_do_not_count() -> None:
    assert wait(40, 70, 90) == 0
    assert wait(40.001, 70, 90) == pytest.approx(0.001)


def test_after_the_limit_was_lowered_the_surplus_must_leave_the_window() -> None:
    assert wait(50, 60, 70, 80, maximum=2) == 30


def test_a_clock_that_was_set_back_never_makes_the_wait_longer_than_the_window() -> None:
    assert wait(130, 130, 130) == 60
    assert wait(10_000, 10_000, 10_000) == 0
