"""The rate limit's arithmetic: so many messages to one recipient within a sliding window."""

from collections.abc import Iterable


def seconds_until_room(times: Iterable[float], *, now: float, maximum: int, window: float) -> float:
    """How long to wait before one more message may be sent; 0 when there is room now.

    `times` are when messages were sent, in any order. One that left the window no longer counts. One from the future (a
    clock that was set back) counts as sent now, and not at all when it is further ahead than the window is long.
    """
    within = sorted(min(at, now) for at in times if now - window < at < now + window)
    if len(within) < maximum:
        return 0.0
    return within[-maximum] + window - now
