"""N bots after a restart of the Docker daemon: all online, compared with N bare starts in parallel → online.

The benchmark runs a daemon of its own in a separate network namespace, with the fleet and the simulator beside it. The
daemon is stopped as in an upgrade (its containers stop with it) and started again; the clock runs from its first
answer until WhatsApp has accepted the last bot's login. Then the same sessions are moved to bare containers, the daemon
is restarted again, and the containers are started eight at a time from its first answer on.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks import database
from tests.benchmarks.pairs import freed
from tests.benchmarks.results import Goal, Kind, Row, Sample, Unit
from tests.benchmarks.run import Run
from tests.benchmarks.world import World
from tests.support.fleet import BOT_IMAGE
from tests.support.own_engine import OwnEngine

GOAL = Goal(Kind.RATIO, 1.2)
FIGURE = "Docker daemon restart → all bots online"
START_SECONDS = 60
ROUNDS = 3
"""The baseline of each round stops and starts the bots, which clears their restart history."""


def measure(run: Run) -> Iterator[Row]:
    """The rows for all sizes."""
    if os.geteuid() != 0:
        yield Row(FIGURE, None, None, goal=GOAL, note="a second Docker engine needs root")
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="botdock-bench-")))
        engine = OwnEngine(folder / "engine")
        stack.callback(engine.close)
        engine.load_images([BOT_IMAGE])
        url, key = database.migrated(run.server_url)
        world = stack.enter_context(World(database_url=url, admin_key=key, logs=run.logs, engine=engine))
        for size in run.sizes:
            bots = world.paired(size)
            world.wait_phase(bots, "online")
            ours, floor = [], []
            for _ in range(run.times(ROUNDS)):
                ours.append(_ours(world, engine, bots))
                with freed(world, bots):
                    floor.append(_floor(world, engine, bots))
            yield Row(FIGURE, size, Sample(tuple(ours), Unit.SECONDS), Sample(tuple(floor), Unit.SECONDS), GOAL)


def _ours(world: World, engine: OwnEngine, bots: list[str]) -> float:
    engine.stop()
    began = _start(world, engine)
    return max(world.wait_online(bots, after=began).values()) - began


def _floor(world: World, engine: OwnEngine, bots: list[str]) -> float:
    bare = world.bare
    began = time.time()
    containers = bare.each(bare.run, bots)
    try:
        world.wait_online(bots, after=began)
        engine.stop()
        began = _start(world, engine)
        bare.each(bare.start, containers)
        return max(world.wait_online(bots, after=began).values()) - began
    finally:
        bare.remove(containers)


def _start(world: World, engine: OwnEngine) -> float:
    """Start the daemon; the Unix time of its first answer."""
    engine.start(wait=False)
    deadline = time.monotonic() + START_SECONDS
    while not world.bare.answers():
        assert time.monotonic() < deadline, "the engine does not answer"
        time.sleep(0.005)
    return time.time()
