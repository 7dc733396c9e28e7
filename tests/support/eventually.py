"""Waiting for a condition with a deadline, in place of sleeping for a fixed time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.05


def eventually(
    look: Callable[[], T], until: Callable[[T], object] = bool, *, deadline: float = 30, what: str = "the condition"
) -> T:
    """What `look` returns, as soon as it satisfies `until`.

    Raises TimeoutError with the last thing seen after `deadline` seconds. Errors of `look` go through.
    """
    end = time.monotonic() + deadline
    while True:
        seen = look()
        if until(seen):
            return seen
        if time.monotonic() >= end:
            raise TimeoutError(f"{what} did not come within {deadline:g} s; last seen: {seen!r}")
        time.sleep(POLL_SECONDS)
