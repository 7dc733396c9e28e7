"""The controller loses the network to its bots: no bot is replaced for that, however fast the calls fail."""

import pytest

from orchestrator.reconcile.liveness import SHARED
from tests.support.eventually import eventually
from tests.support.fleet import Fleet
from tests.support.network_cut import cut

pytestmark = [pytest.mark.docker, pytest.mark.slow]

BOTS = ["cut-a", "cut-b", "cut-c", "cut-d"]


@pytest.mark.parametrize(
    "target",
    [("REJECT", "--reject-with", "tcp-reset"), ("REJECT", "--reject-with", "icmp-host-unreachable"), ("DROP",)],
    ids=["reset", "unreachable", "drop"],
)
def test_no_bot_is_replaced_while_the_controller_is_cut_off(bare_fleet: Fleet, target: tuple[str, ...]) -> None:
    fleet = bare_fleet
    controller = fleet.start_controller()
    for bot in BOTS:
        fleet.create(bot)
    for bot in BOTS:
        fleet.wait_phase(bot, "pairing")
    before = {bot: fleet.started_at(bot) for bot in BOTS}
    network = fleet.docker.networks.get(f"botdock-{fleet.server}")
    with cut(network.attrs["IPAM"]["Config"][0]["Subnet"], *target):
        if "icmp-host-unreachable" in target:
            eventually(
                lambda: controller.tail(1000).count("was inconclusive"),
                lambda count: count >= 3 * len(BOTS),
                what="probes",
            )
        else:
            for bot in BOTS:
                fleet.wait_status(bot, lambda status: status["message"] == SHARED, what="the refusal to replace it")
    for bot in BOTS:
        fleet.wait_status(bot, lambda status: status["phase"] == "pairing" and status["message"] != SHARED)
    assert {bot: fleet.started_at(bot) for bot in BOTS} == before
    assert [fleet.status(bot)["restarts"] for bot in BOTS] == [0] * len(BOTS)
