"""One bot: approve → container started, compared with one bare create + start.

The measurement begins with the operator's POST to the api, so it includes api, Postgres, notification and controller.
It ends at the time at which the engine reports the container as started. Botdock, baseline and peer alternate.
"""

import time
from collections.abc import Iterator

from tests.benchmarks.results import Goal, Kind, Row, Sample, Unit
from tests.benchmarks.run import Run
from tests.benchmarks.spawner import Spawner, SpawnerMissingError
from tests.benchmarks.world import World
from tests.support.names import resource_name

GOAL = Goal(Kind.MORE, 0.050)
ROUNDS = 12


def measure(run: Run) -> Iterator[Row]:
    """The rows."""
    world = run.world
    ours, floor = [], []
    for number in range(run.times(ROUNDS)):
        ours.append(_ours(world, f"one-{number}"))
        floor.append(_floor(world, f"bare-{number}"))
    floors = Sample(tuple(floor), Unit.SECONDS)
    yield Row("approve → container started, one bot", None, Sample(tuple(ours), Unit.SECONDS), floors, GOAL)
    peer = "  peer: DockerSpawner.start(), one"
    try:
        with Spawner(world) as spawner:
            spawned = tuple(spawner.start([f"spawn-{number}"]).seconds for number in range(run.times(ROUNDS) // 2))
        yield Row(peer, None, Sample(spawned, Unit.SECONDS), floors)
    except SpawnerMissingError as exc:
        yield Row(peer, None, None, note=str(exc))


def _ours(world: World, bot: str) -> float:
    world.add([bot])
    began = time.time()
    world.fleet.call("POST", f"/api/bots/{bot}/approve")
    started = world.bare.wait_started([resource_name(world.server, bot)], since=began)
    world.delete([bot])
    return started - began


def _floor(world: World, bot: str) -> float:
    bare = world.bare
    began = time.time()
    container = bare.run(bot)
    started = bare.started_at([container])[container]
    bare.remove([container])
    bare.remove_volumes([bot])
    return started - began
