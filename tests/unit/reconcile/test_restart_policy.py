"""The restart policy, rule by rule, and what holds for every course of failures."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orchestrator.reconcile.restart_policy import (
    RestartDecision,
    RestartHistory,
    RestartPolicy,
    Verdict,
    decide,
    record_failure,
)

POLICY = RestartPolicy()
NO_FAILURES = RestartHistory()
NO_JITTER = 0.5
"""The random value that leaves a delay as it is."""


@dataclass
class Bot:
    """A bot that fails, on a clock that the test moves."""

    policy: RestartPolicy = POLICY
    history: RestartHistory = NO_FAILURES
    now: float = 1_000_000.0

    def fail(self, *, after: float = 0.0, healthy: float | None = 1.0, random: float = NO_JITTER) -> RestartDecision:
        """End `after` seconds from now, having been healthy for so long, or never (None)."""
        self.now += after
        self.history = record_failure(
            self.policy, self.history, now=self.now, was_healthy=healthy is not None, healthy_seconds=healthy or 0.0
        )
        return decide(self.policy, self.history, now=self.now, random=random)

    def delay(self, restart: RestartDecision) -> float:
        """Seconds that the policy lets the bot wait."""
        assert restart.at is not None
        return restart.at - self.now


def test_the_first_restart_is_immediate() -> None:
    bot = Bot()
    restart = bot.fail()
    assert (restart.verdict, bot.delay(restart)) == (Verdict.RESTART, 0)
    assert restart.message == "restarting immediately"


def test_from_the_second_failure_on_the_delay_doubles_from_one_second_to_five_minutes() -> None:
    bot = Bot()
    delays = [bot.delay(bot.fail(after=200)) for _ in range(12)]
    assert delays == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


@pytest.mark.parametrize(("random", "delay"), [(0.0, 3.0), (0.25, 3.5), (0.5, 4.0), (0.75, 4.5)])
def test_the_delay_has_a_jitter_of_a_quarter(random: float, delay: float) -> None:
    bot = Bot()
    for _ in range(3):
        bot.fail(after=200)
    assert bot.delay(bot.fail(after=200, random=random)) == delay


@pytest.mark.parametrize(("healthy", "delay"), [(599.9, 4.0), (600.0, 0.0), (86_400.0, 0.0)])
def test_ten_minutes_of_health_clear_the_history(healthy: float, delay: float) -> None:
    bot = Bot()
    for _ in range(3):
        bot.fail(after=200)
    assert bot.delay(bot.fail(after=healthy, healthy=healthy)) == delay


@pytest.mark.parametrize(
    ("apart", "verdict"),
    [(1.0, Verdict.CRASH_LOOP), (150.0, Verdict.CRASH_LOOP), (150.1, Verdict.RESTART)],
)
def test_five_failures_within_ten_minutes_are_a_crash_loop(apart: float, verdict: Verdict) -> None:
    bot = Bot()
    answers = [bot.fail(after=apart).verdict for _ in range(5)]
    assert answers == [Verdict.RESTART] * 4 + [verdict]


def test_a_crash_loop_is_retried_at_the_longest_delay_until_the_bot_is_stable() -> None:
    bot = Bot()
    for _ in range(5):
        restart = bot.fail(after=1)
    for _ in range(10):
        assert (restart.verdict, bot.delay(restart)) == (Verdict.CRASH_LOOP, 300)
        restart = bot.fail(after=bot.delay(restart) + 1)
    restart = bot.fail(after=601, healthy=600)
    assert (restart.verdict, bot.delay(restart)) == (Verdict.RESTART, 0)


def test_two_failed_starts_end_in_skipped_and_only_an_operator_starts_the_bot_again() -> None:
    bot = Bot()
    assert bot.fail(healthy=None).verdict is Verdict.RESTART
    restart = bot.fail(healthy=None)
    assert (restart.verdict, restart.at) == (Verdict.SKIP, None)
    assert restart.message == "failed to start 2 times in a row; start it again manually"


def test_a_healthy_run_resets_the_count_of_failed_starts() -> None:
    bot = Bot()
    answers = [bot.fail(after=200, healthy=healthy).verdict for healthy in (None, 5.0, None, 5.0, None)]
    assert set(answers) == {Verdict.RESTART}


@given(limit=st.integers(1, 10))
def test_a_bot_is_skipped_exactly_at_the_limit(limit: int) -> None:
    bot = Bot(RestartPolicy(start_failure_limit=limit))
    answers = [bot.fail(after=400, healthy=None).verdict for _ in range(limit)]
    assert answers == [Verdict.RESTART] * (limit - 1) + [Verdict.SKIP]


def test_years_of_failures_neither_overflow_nor_grow_the_history() -> None:
    bot = Bot(history=RestartHistory(streak=10**6))
    assert bot.delay(bot.fail(after=1000)) == 300
    for _ in range(20):
        bot.fail(after=1000)
    assert len(bot.history.recent) == POLICY.crash_loop_failures


class EveryCourse(RuleBasedStateMachine):
    """Failures of a bot that becomes healthy each time, in any rhythm."""

    def __init__(self) -> None:
        super().__init__()
        self.bot = Bot()
        self.times: list[float] = []
        """When it failed, since it was last stable."""
        self.last: RestartDecision | None = None
        self.undisturbed: list[float] = []
        """The delays without jitter, since it was last stable."""

    @rule(
        after=st.floats(0, 700),
        healthy=st.floats(0, 599),
        random=st.floats(0, 1, exclude_max=True),
    )
    def fails(self, after: float, healthy: float, random: float) -> None:
        restart = self.bot.fail(after=after, healthy=healthy, random=random)
        self.times.append(self.bot.now)
        plain = self.bot.delay(decide(POLICY, self.bot.history, now=self.bot.now, random=NO_JITTER))
        self.undisturbed.append(plain)
        self.last = restart
        assert 0.75 * plain - 1e-6 <= self.bot.delay(restart) <= 1.25 * plain + 1e-6

    @precondition(lambda self: self.times)
    @rule(healthy=st.floats(600, 10_000))
    def is_stable_and_fails(self, healthy: float) -> None:
        restart = self.bot.fail(after=healthy, healthy=healthy)
        self.times, self.undisturbed, self.last = [self.bot.now], [self.bot.delay(restart)], restart
        assert self.bot.delay(restart) == 0

    @invariant()
    def no_delay_is_shorter_than_the_one_before(self) -> None:
        assert all(a <= b + 1e-6 for a, b in zip(self.undisturbed, self.undisturbed[1:], strict=False))

    @invariant()
    def no_delay_is_longer_than_five_minutes_and_a_quarter(self) -> None:
        assert self.last is None or self.bot.delay(self.last) <= 375 + 1e-6

    @invariant()
    def it_is_a_crash_loop_exactly_when_five_came_within_ten_minutes_since_it_was_stable(self) -> None:
        if self.last is None:
            return
        looped = any(self.times[i + 4] - self.times[i] <= 600 for i in range(len(self.times) - 4))
        assert self.last.verdict is (Verdict.CRASH_LOOP if looped else Verdict.RESTART)


TestEveryCourse = EveryCourse.TestCase
