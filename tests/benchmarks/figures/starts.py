"""N approved bots → N containers started, compared with a bare docker-py loop.

Botdock: N rows exist, one UPDATE approves them all, and the clock runs from before that statement until the time at
which the engine reports the last container as started. Baseline: the same options, eight containers at a time. Every
container and volume is new. The rounds alternate.
"""

import time
from collections.abc import Iterator

from tests.benchmarks.results import Goal, Kind, Row, Sample, Unit
from tests.benchmarks.run import Run
from tests.benchmarks.spawner import Spawner, SpawnerMissingError
from tests.benchmarks.world import World
from tests.support.names import resource_name

GOAL = Goal(Kind.RATIO, 1.15)
ROUNDS = 5


def measure(run: Run, size: int) -> Iterator[Row]:
    """Rows for one size."""
    world = run.world
    ours, floor = [], []
    for number in range(run.times(ROUNDS)):
        ours.append(_ours(world, [f"n{number}-{index:03}" for index in range(size)]))
        floor.append(_floor(world, [f"f{number}-{index:03}" for index in range(size)]))
    floors = Sample(tuple(floor), Unit.SECONDS)
    figure = "N approved bots → N containers started"
    yield Row(figure, size, Sample(tuple(ours), Unit.SECONDS), floors, GOAL)
    peer = "  peer: DockerSpawner.start(), N at once"
    try:
        with Spawner(world) as spawner:
            spawned = spawner.start([f"s{index:03}" for index in range(size)])
        yield Row(peer, size, Sample((spawned.seconds,), Unit.SECONDS), floors)
    except SpawnerMissingError as exc:
        yield Row(peer, size, None, note=str(exc))


def _ours(world: World, bots: list[str]) -> float:
    world.add(bots)
    began = time.time()
    world.approve(bots)
    last = world.bare.wait_started([resource_name(world.server, bot) for bot in bots], since=began)
    world.delete(bots)
    return last - began


def _floor(world: World, bots: list[str]) -> float:
    bare = world.bare
    began = time.time()
    containers = bare.each(bare.run, bots)
    last = max(bare.started_at(containers).values())
    bare.remove(containers)
    bare.remove_volumes(bots)
    return last - began
