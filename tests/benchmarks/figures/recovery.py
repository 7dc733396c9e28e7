"""`docker kill -s KILL` → online again, compared with a kill and a start by hand.

Half of the bots are run by the controller; the sessions of the others are in bare containers created with the same
options. In turns, one of the first half is killed (the controller has to notice it), and one of the second half is
killed and started as soon as the engine reports it as exited. The clock starts with the kill. A bot is online when
WhatsApp has accepted its login. The restart history is cleared between the rounds, so that each kill is a bot's first.
Nobody can start a killed container before the engine has torn it down (network, mounts): that time has a line of its
own. (Most of it is the removal of the container's bridge network: on the host's network the same kill takes less than
half as long.)

The peer is the same container with `--restart=always`, killed by its process id: after `docker kill`, Docker considers
the container stopped by hand and does not restart it.
"""

import os
import signal
import time
from collections.abc import Iterator

from tests.benchmarks.bare import always_restarted
from tests.benchmarks.pairs import freed
from tests.benchmarks.results import Goal, Kind, Row, Sample, Unit
from tests.benchmarks.run import Run
from tests.benchmarks.world import World
from tests.support.names import resource_name

GOAL = Goal(Kind.RATIO, 1.05)
BOTS = 4
ROUNDS = 3
PEER_RESET_SECONDS = 11
"""Docker resets its restart delay for a container that ran for ten seconds."""


def measure(run: Run) -> Iterator[Row]:
    """The rows."""
    world, bare = run.world, run.world.bare
    bots = world.paired(3 * BOTS)
    own, bared, always = bots[:BOTS], bots[BOTS : 2 * BOTS], bots[2 * BOTS :]
    with freed(world, [*bared, *always]):
        began = time.time()
        floor_ids = {bot: bare.run(bot) for bot in bared}
        peer_ids = {bot: bare.run(bot, prefix="always", **always_restarted(bare.config(bot))) for bot in always}
        try:
            peers_since = max(world.wait_online([*bared, *always], after=began).values())
            ours, ends, by_hand, peer = [], [], [], []
            for _ in range(run.times(ROUNDS)):
                time.sleep(max(0.0, peers_since + PEER_RESET_SECONDS - time.time()))
                for mine, floored, peered in zip(own, bared, always, strict=True):
                    back, end = _ours(world, mine)
                    ours.append(back)
                    ends.append(end)
                    by_hand.append(_by_hand(world, floored, floor_ids[floored]))
                    peer.append(_peer(world, peered, peer_ids[peered]))
                peers_since = time.time()
                world.wait_phase(own, "online")
                world.forgive(own)
        finally:
            bare.remove([*floor_ids.values(), *peer_ids.values()])
    yield Row("docker kill -s KILL → online again", None, _seconds(ours), _seconds(by_hand), GOAL)
    yield Row("  of which docker kill itself", None, _seconds(ends))
    yield Row("  peer: docker's --restart=always", None, _seconds(peer), _seconds(by_hand))


def _seconds(values: list[float]) -> Sample:
    return Sample(tuple(values), Unit.SECONDS)


def _ours(world: World, bot: str) -> tuple[float, float]:
    """Seconds until it was online again, and until the engine had torn the container down (then `kill` returns)."""
    began = time.time()
    world.bare.client.kill(resource_name(world.server, bot), "KILL")
    ended = time.time()
    return world.wait_online([bot], after=began)[bot] - began, ended - began


def _by_hand(world: World, bot: str, container: str) -> float:
    began = time.time()
    world.bare.client.kill(container, "KILL")
    world.bare.wait_exited(container)
    world.bare.client.start(container)
    return world.wait_online([bot], after=began)[bot] - began


def _peer(world: World, bot: str, container: str) -> float:
    pid = world.bare.pid(container)
    began = time.time()
    os.kill(pid, signal.SIGKILL)
    return world.wait_online([bot], after=began)[bot] - began
