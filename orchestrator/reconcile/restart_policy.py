"""The restart policy: facts about failures in, the time of the next start out. Pure: no clock, no random of its own.

The first restart comes at once. From then on the delay is 1 s, doubled with each further failure up to 300 s, with a
jitter of a quarter either way, until a container has been healthy for ten minutes. Five failures within ten minutes are
a crash loop, until the bot is stable: it is still retried, at the longest delay, and says so. A container that never
became healthy is a failed start; after `start_failure_limit` of them in a row the bot is skipped until a person acts.
"""

from dataclasses import dataclass, replace
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """The numbers of the policy. Times in seconds."""

    first_delay: float = 1.0
    max_delay: float = 300.0
    jitter: float = 0.25
    stable_after: float = 600.0
    crash_loop_failures: int = 5
    crash_loop_window: float = 600.0
    start_failure_limit: int = 2


@dataclass(frozen=True, slots=True)
class RestartHistory:
    """What the policy remembers of one bot. Kept in Postgres, so that a new controller goes on where the last was."""

    streak: int = 0
    """Failures since the bot was last stable."""
    failed_starts: int = 0
    """Containers in a row that never became healthy."""
    recent: tuple[float, ...] = ()
    """Unix times of the last failures, oldest first; only as many as make a crash loop."""
    crash_loop: bool = False
    """Failures have come too close together since the bot was last stable."""


class Verdict(StrEnum):
    """How a failure is answered."""

    RESTART = "restart"
    CRASH_LOOP = "crash-loop"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class RestartDecision:
    """The policy's answer: when to start again. `at` is a Unix time, None when only a person may start it."""

    verdict: Verdict
    at: float | None
    message: str


def record_failure(
    policy: RestartPolicy, history: RestartHistory, *, now: float, was_healthy: bool, healthy_seconds: float
) -> RestartHistory:
    """The history after one more container ended that should be running."""
    if was_healthy and healthy_seconds >= policy.stable_after:
        history = RestartHistory()
    recent = (*history.recent, now)[-policy.crash_loop_failures :]
    # Kept until the bot is stable: retries at the longest delay would otherwise thin the failures out so much that
    # the loop seems to have ended, and the delay would fall back.
    too_close = len(recent) >= policy.crash_loop_failures and now - recent[0] <= policy.crash_loop_window
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
            Verdict.SKIP, None, f"failed to start {history.failed_starts} times in a row; start it again by hand"
        )
    spread = 1 + policy.jitter * (2 * random - 1)
    if history.crash_loop:
        delay = policy.max_delay * spread
        return RestartDecision(
            Verdict.CRASH_LOOP,
            now + delay,
            f"failed {history.streak} times without being stable; next try in {delay:.0f} s",
        )
    if history.streak <= 1:
        return RestartDecision(Verdict.RESTART, now, "restarting at once")
    # The exponent is bounded because 2.0 ** 2000 overflows and a bot may fail for years.
    delay = min(policy.first_delay * 2.0 ** min(history.streak - 2, 32), policy.max_delay) * spread
    return RestartDecision(Verdict.RESTART, now + delay, f"restarting in {delay:.1f} s")
