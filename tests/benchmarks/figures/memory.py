"""Memory of a connected idle bot container: memory charged to its cgroup, without page cache, after 30 s.

The baseline is the plain neonize script in the same image, measured at the same time on other sessions.
"""

import time
from collections.abc import Iterator

from tests.benchmarks import machine, plain
from tests.benchmarks.pairs import freed
from tests.benchmarks.results import Goal, Kind, Row, Sample, Unit
from tests.benchmarks.run import Run
from tests.support.names import resource_name

GOAL = Goal(Kind.MOST, 50 << 20)
BOTS = 5
IDLE_SECONDS = 30


def measure(run: Run) -> Iterator[Row]:
    """The row."""
    world, bare = run.world, run.world.bare
    bots = world.paired(2 * BOTS)
    own, plains = bots[:BOTS], bots[BOTS:]
    with freed(world, plains):
        began = time.time()
        containers = [bare.run(bot, **plain.options(world, bot)) for bot in plains]
        try:
            world.wait_online(plains, after=began)
            newest = max(world.online_since().values())
            time.sleep(max(0.0, newest + IDLE_SECONDS - time.time()))
            ours = [machine.cgroup_bytes(bare.pid(resource_name(world.server, bot))) for bot in own]
            floor = [machine.cgroup_bytes(bare.pid(container)) for container in containers]
        finally:
            bare.remove(containers)
    measured, floors = Sample(tuple(ours), Unit.MEMORY), Sample(tuple(floor), Unit.MEMORY)
    yield Row("memory of a connected idle bot container", None, measured, floors, GOAL)
