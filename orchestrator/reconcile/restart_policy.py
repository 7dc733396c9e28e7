"""The restart policy: facts about failures in, the time of the next start out. Pure: no clock, no random of its own.

The first restart is immediate. Later ones are delayed by 1 s, doubled with each failure up to 300 s, with ±25 % jitter,
until a container has been healthy for ten minutes. Five failures within ten minutes are a crash loop until the bot is
stable: it is still retried, at the longest delay, and reported as such. A container that never became healthy is a
failed start; after `start_failure_limit` of them in a row the bot is skipped until an operator acts.
"""

from dataclasses import dataclass, replace
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """The parameters of the policy."""

    first_delay_seconds: float = 1.0
    max_delay_seconds: float = 300.0
    jitter: float = 0.25
    stable_after_seconds: float = 600.0
    crash_loop_failures: int = 5
    crash_loop_window_seconds: float = 600.0
    start_failure_limit: int = 2


@dataclass(frozen=True, slots=True)
class RestartHistory:
    """What the policy remembers of one bot. Stored in Postgres, so that a new leader continues with it."""

    streak: int = 0
    """Failures since the bot was last stable."""
    failed_starts: int = 0
    """Consecutive containers that never became healthy."""
    recent: tuple[float, ...] = ()
    """Unix times of the last failures, oldest first; only as many as make a crash loop."""
    crash_loop: bool = False
    """Failures have been too frequent since the bot was last stable."""


class Verdict(StrEnum):
    """What follows a failure."""

    RESTART = "restart"
    CRASH_LOOP = "crash-loop"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class RestartDecision:
    """When to start again. `at` is a Unix time; None when only an operator may start the bot."""

    verdict: Verdict
    at: float | None
    message: str


def record_failure(
    policy: RestartPolicy, history: RestartHistory, *, now: float, was_healthy: bool, healthy_seconds: float
) -> RestartHistory:
    """The history after one more container ended that should be running."""
    if was_healthy and healthy_seconds >= policy.stable_after_seconds:
        history = RestartHistory()
    recent = (*history.recent, now)[-policy.crash_loop_failures :]
    # Remembered until the bot is stable: otherwise retries at the longest delay would spread the failures so thinly
    # that the loop seemed to have ended, and the delay would be reset.
    too_close = len(recent) >= policy.crash_loop_failures and now - recent[0] <= policy.crash_loop_window_seconds
    return replace(
        history,
        streak=history.streak + 1,
        failed_starts=0 if was_healthy else history.failed_starts + 1,
        recent=recent,
        crash_loop=history.crash_loop or too_close,
    )


def decide(policy: RestartPolicy, history: RestartHistory, *, now: float, random: float) -> RestartDecision:
    """When to start again after the last failure in `history`. `random` is from [0, 1)."""
    if history.failed_starts >= policy.start_failure_limit:
        return RestartDecision(
            Verdict.SKIP, None, f"failed to start {history.failed_starts} times in a row; start it again manually"
        )
    spread = 1 + policy.jitter * (2 * random - 1)
    if history.crash_loop:
        delay = policy.max_delay_seconds * spread
        return RestartDecision(
            Verdict.CRASH_LOOP,
            now + delay,
            f"failed {history.streak} times without becoming stable; retrying in {delay:.0f} s",
        )
    if history.streak <= 1:
        return RestartDecision(Verdict.RESTART, now, "restarting immediately")
    # The exponent is bounded: 2.0 ** 2000 overflows, and a bot may fail for years.
    delay = min(policy.first_delay_seconds * 2.0 ** min(history.streak - 2, 32), policy.max_delay_seconds) * spread
    return RestartDecision(Verdict.RESTART, now + delay, f"restarting in {delay:.1f} s")
