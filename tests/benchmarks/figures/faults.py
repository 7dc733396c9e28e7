"""What faults that bots share cost them: a frozen leader, a controller without network, bots that hang.

The leader is frozen (SIGSTOP) beside a standby with the default lease, and a bot is killed at once: the time until it
is online again, compared with the same kill under a leader that works. A controller is cut off from its bots by a
firewall for forty seconds each in three ways: calls are reset, refused, or lost. Six bots hang (`docker pause`) while
messages wait for them: messages through another bot are timed from the call of the api until they are sent, compared
with the same messages while none hangs.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from docker.errors import APIError

from tests.benchmarks.results import Goal, Kind, Row, Sample, Unit, quantile
from tests.benchmarks.run import Run
from tests.benchmarks.world import World
from tests.support.names import resource_name
from tests.support.network_cut import cut

TAKEOVER_GOAL = Goal(Kind.MORE, 15)
NONE = Goal(Kind.MOST, 0)
HUNG_GOAL = Goal(Kind.RATIO, 1.2)
ROUNDS = 3
CUTS = {
    "reset": ("REJECT", "--reject-with", "tcp-reset"),
    "refused": ("REJECT", "--reject-with", "icmp-host-unreachable"),
    "lost": ("DROP",),
}
CUT_SECONDS = 40.0
HUNG = 6
SENDS = 200
CONTACTS = 20
"""Each gets fewer messages than the rate limit permits."""
WAITING = 3
"""Messages that wait for each bot that hangs."""


def measure(run: Run) -> Iterator[Row]:
    """The rows, for the largest number of bots."""
    world, size = run.world, run.sizes[-1]
    bots = world.paired(max(size, HUNG + 1))
    normal = [killed(world, bots[0]) for _ in range(run.times(ROUNDS))]
    frozen = [_killed_under_frozen_leader(world, bots[0]) for _ in range(run.times(ROUNDS))]
    figure = "leader frozen, bot killed → online by the standby"
    yield Row(figure, None, _seconds(frozen), _seconds(normal), TAKEOVER_GOAL)
    for name, target in CUTS.items():
        killed = _restarted_by_a_cut(world, bots, target, CUT_SECONDS / 4 if run.quick else CUT_SECONDS)
        yield Row(
            f"controller cut off, calls {name}: bots killed", len(bots), Sample((killed,), Unit.COUNT), None, NONE
        )
    free, crowded = _beside_hung_bots(world, bots[0], bots[1 : HUNG + 1], run.times(SENDS))
    for share in (0.5, 0.99):
        measured, floor = (Sample((quantile(times, share),), Unit.MILLISECONDS) for times in (crowded, free))
        yield Row(f"six bots hang: sends by another, p{share * 100:.0f}", None, measured, floor, HUNG_GOAL)


def new_contacts(world: World, prefix: int) -> list[str]:
    """Contacts to write to, in turn."""
    contacts = [f"{prefix}{number:06}" for number in range(CONTACTS)]
    for contact in contacts:
        world.fleet.phones.post("/contacts", {"phone": contact})
    return contacts


def _seconds(values: list[float]) -> Sample:
    return Sample(tuple(values), Unit.SECONDS)


def killed(world: World, bot: str) -> float:
    """Seconds from a kill until the bot was online again; its restart history is cleared afterwards."""
    began = time.time()
    world.bare.client.kill(resource_name(world.server, bot), "KILL")
    online = world.wait_online([bot], after=began)[bot]
    world.wait_phase([bot], "online")
    world.forgive([bot])
    return online - began


def _killed_under_frozen_leader(world: World, bot: str) -> float:
    frozen, world.controller = world.controller, world.fleet.start_controller()
    frozen.suspend()
    try:
        return killed(world, bot)
    finally:
        frozen.kill()


def _restarted_by_a_cut(world: World, bots: Sequence[str], target: tuple[str, ...], seconds: float) -> int:
    names = [resource_name(world.server, bot) for bot in bots]
    before = world.bare.started_at(names)
    network = world.bare.client.inspect_network(f"botdock-{world.server}")
    with cut(network["IPAM"]["Config"][0]["Subnet"], *target):
        time.sleep(seconds)
    world.wait_phase(bots, "online")
    after = world.bare.started_at(names)
    return sum(after[name] != before[name] for name in names)


def _beside_hung_bots(world: World, bot: str, hung: Sequence[str], sends: int) -> tuple[list[float], list[float]]:
    """Seconds of each send through `bot` while no bot hangs, and while others do."""
    contacts = new_contacts(world, 4915119)
    free = [send(world, bot, contacts[number % CONTACTS], wait=20) for number in range(sends)]
    names = [resource_name(world.server, other) for other in hung]
    for name in names:
        world.bare.client.pause(name)
    try:
        with ThreadPoolExecutor(len(hung)) as pool:
            waiting = [(other, contact) for other in hung for contact in contacts[:WAITING]]
            list(pool.map(lambda one: send(world, *one, wait=0), waiting))
        crowded = [send(world, bot, contacts[number % CONTACTS], wait=20) for number in range(sends)]
    finally:
        for name in names:
            with suppress(APIError):  # the controller has replaced it already
                world.bare.client.unpause(name)
    world.wait_phase(hung, "online")
    return free, crowded


def send(world: World, bot: str, contact: str, *, wait: float) -> float:
    """Seconds until the message was sent, or for `wait=0` until it was stored."""
    began = time.perf_counter()
    world.fleet.call("POST", f"/api/bots/{bot}/messages?wait={wait:g}", {"to": contact, "message": "hello"})
    return time.perf_counter() - began
