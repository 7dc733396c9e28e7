"""A lease, as its holder sees it: trusted until a time on a clock that nobody sets, extended by renewals."""

import pytest

from orchestrator.controller.leader import Lease, running_time
from orchestrator.db.fence import LeadershipLostError
from orchestrator.db.leases import Holder


class Clock:
    """Seconds that pass only when a test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lease(clock: Clock) -> Lease:
    return Lease(Holder("server1", "me", 7), valid_until=108.0, clock=clock)


def test_a_held_lease_passes_every_check_until_it_expires(lease: Lease, clock: Clock) -> None:
    clock.now = 107.9
    lease.check()
    assert lease.remaining_seconds() == pytest.approx(0.1)


def test_an_expired_lease_fails_the_next_check_without_asking_anybody(lease: Lease, clock: Clock) -> None:
    clock.now = 108.0  # suspended meanwhile, say
    with pytest.raises(LeadershipLostError, match="epoch 7"):
        lease.check()


def test_a_renewal_extends_the_lease(lease: Lease, clock: Clock) -> None:
    clock.now = 107.0
    lease.extend(115.0)
    clock.now = 110.0
    lease.check()


async def test_a_lease_that_another_controller_took_is_lost_before_it_expires(lease: Lease) -> None:
    lease.lose()
    await lease.until_lost()
    with pytest.raises(LeadershipLostError):
        lease.check()


async def test_waiting_for_the_loss_ends_when_the_lease_expires() -> None:
    lease = Lease(Holder("server1", "me", 1), valid_until=running_time() + 0.01, clock=running_time)
    await lease.until_lost()
    assert lease.remaining_seconds() == 0
