"""The rate limit: a maximum of messages to one recipient within a sliding window. Pure."""

from collections.abc import Iterable


def seconds_until_room(times: Iterable[float], *, now: float, maximum: int, window_seconds: float) -> float:
    """How long to wait before the next message may be sent; 0 when it may be sent now.

    `times` are the timestamps of earlier messages, in any order. One older than the window does not count. One in the
    future (the clock was set back) counts as sent now, or not at all when it is further ahead than the window is long.
    """
    within = sorted(min(at, now) for at in times if now - window_seconds < at < now + window_seconds)
    if len(within) < maximum:
        return 0.0
    return within[-maximum] + window_seconds - now
