"""Which bots that stopped answering are replaced, and when the fault is taken for the controller's own."""

import pytest

from orchestrator.reconcile.liveness import (
    CANARY_SECONDS,
    SHARED,
    TOO_MANY,
    WINDOW_SECONDS,
    FleetProbes,
    LivenessPolicy,
)

RECOVERY_SECONDS = 15.0


@pytest.fixture
def policy() -> LivenessPolicy:
    return LivenessPolicy(recovery_seconds=RECOVERY_SECONDS)


def fleet(watched: int, answering: int, newest_run: float | None = 0.0) -> FleetProbes:
    return FleetProbes(watched=watched, answering=answering, newest_run=newest_run if answering else None)


def replaced(policy: LivenessPolicy, probes: FleetProbes, *, now: float, limited: bool = True) -> int:
    """How many of all the fleet's bots may be replaced at one time."""
    bots = [f"bot-{number}" for number in range(probes.watched)]
    return sum(not policy.refusal(bot, probes, limited=limited, now=now) for bot in bots)


class TestSharedFailure:
    @pytest.mark.parametrize(("watched", "answering"), [(3, 0), (50, 0), (50, 4)])
    def test_nothing_is_replaced_when_almost_no_bot_answers(
        self, policy: LivenessPolicy, watched: int, answering: int
    ) -> None:
        for now in range(0, 299, 5):
            assert policy.refusal("bot-1", fleet(watched, answering), limited=True, now=now) == SHARED

    @pytest.mark.parametrize("watched", [1, 2])
    def test_too_few_bots_cannot_show_a_shared_failure(self, policy: LivenessPolicy, watched: int) -> None:
        assert policy.refusal("bot-1", fleet(watched, 0), limited=True, now=0) == ""

    def test_one_bot_at_a_time_tests_the_path(self, policy: LivenessPolicy) -> None:
        allowed = [now for now in range(0, 1000, 5) if replaced(policy, fleet(20, 0), now=now)]
        assert allowed == [CANARY_SECONDS, 2 * CANARY_SECONDS, 3 * CANARY_SECONDS]

    def test_a_replaced_bot_that_answers_shows_that_the_others_hang(self, policy: LivenessPolicy) -> None:
        assert replaced(policy, fleet(20, 0), now=1000.0) == 0
        assert replaced(policy, fleet(20, 1, newest_run=900.0), now=1010.0) == 0
        assert replaced(policy, fleet(20, 1, newest_run=1005.0), now=1010.0) == 2

    def test_a_new_failure_is_not_disproved_by_what_answered_during_an_earlier_one(
        self, policy: LivenessPolicy
    ) -> None:
        assert replaced(policy, fleet(20, 0), now=1000.0) == 0
        assert replaced(policy, fleet(20, 1, newest_run=1005.0), now=1000.0 + 2 * WINDOW_SECONDS) == 0

    def test_bots_that_answer_last_are_given_time_when_it_ends(self, policy: LivenessPolicy) -> None:
        assert replaced(policy, fleet(20, 0), now=100) == 0
        assert replaced(policy, fleet(20, 10), now=105) == 0
        assert replaced(policy, fleet(20, 19), now=100 + RECOVERY_SECONDS - 1) == 0
        assert replaced(policy, fleet(20, 19), now=100 + RECOVERY_SECONDS) == 2
        assert replaced(policy, fleet(20, 19), now=100 + RECOVERY_SECONDS + WINDOW_SECONDS) == 2

    def test_the_time_does_not_depend_on_a_clock_that_was_set_back(self, policy: LivenessPolicy) -> None:
        assert replaced(policy, fleet(20, 0), now=4000) == 0
        assert replaced(policy, fleet(20, 10), now=400) == 2

    def test_neither_does_the_next_test_of_the_path(self, policy: LivenessPolicy) -> None:
        for now in (4000, 400):
            assert replaced(policy, fleet(20, 0), now=now) == 0
        allowed = [now for now in range(405, 1000, 5) if replaced(policy, fleet(20, 0), now=now)]
        assert allowed == [400 + CANARY_SECONDS]


class TestLimit:
    @pytest.mark.parametrize(("watched", "allowed"), [(1, 1), (9, 1), (20, 2), (50, 5)])
    def test_one_bot_in_ten_and_at_least_one_is_replaced_within_a_minute(
        self, policy: LivenessPolicy, watched: int, allowed: int
    ) -> None:
        half = fleet(watched, max(1, watched // 2))
        assert replaced(policy, half, now=0) == allowed
        assert policy.refusal("one-more", half, limited=True, now=WINDOW_SECONDS - 1) == TOO_MANY
        assert policy.refusal("one-more", half, limited=True, now=WINDOW_SECONDS) == ""

    def test_a_minute_does_not_last_longer_when_the_clock_is_set_back(self, policy: LivenessPolicy) -> None:
        assert replaced(policy, fleet(20, 15), now=4000) == 2
        assert policy.refusal("one-more", fleet(20, 15), limited=True, now=400) == ""

    def test_a_bot_that_is_killed_again_counts_once(self, policy: LivenessPolicy) -> None:
        for now in range(5):
            assert policy.refusal("bot-1", fleet(9, 5), limited=True, now=now) == ""

    def test_starts_that_time_out_are_not_limited(self, policy: LivenessPolicy) -> None:
        assert replaced(policy, fleet(9, 5), now=0, limited=False) == 9
