"""Waiting for a condition with a deadline, instead of sleeping for a fixed time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.05
DEADLINE_SECONDS = 90.0
"""Long enough for a machine that runs several tests at once; only a failing test waits that long."""


def eventually(
    look: Callable[[], T],
    until: Callable[[T], object] = bool,
    *,
    deadline: float = DEADLINE_SECONDS,
    what: str = "the condition",
) -> T:
    """Call `look` until its result satisfies `until`, and return that result.

    Raises TimeoutError with the last result after `deadline` seconds. Errors of `look` propagate.
    """
    end = time.monotonic() + deadline
    while True:
        seen = look()
        if until(seen):
            return seen
        if time.monotonic() >= end:
            raise TimeoutError(f"timed out after {deadline:g} s waiting for {what}; last seen: {seen!r}")
        time.sleep(POLL_SECONDS)
