"""Container start → connected with a session present, compared with a plain neonize script in the same image.

Both run in bare containers with the same options (half a CPU) on the same session, one after the other, without a
controller. The clock runs from the time at which the engine reports the container as started until WhatsApp has
accepted the bot's login. The image lacks neonize's Python client, so it is
installed once, compiled, and mounted.
"""

import time
from collections.abc import Iterator
from typing import Any

from tests.benchmarks import plain
from tests.benchmarks.pairs import freed
from tests.benchmarks.results import Goal, Kind, Row, Sample, Unit
from tests.benchmarks.run import Run
from tests.benchmarks.world import World

GOAL = Goal(Kind.RATIO, 0.6)
ROUNDS = 10


def measure(run: Run) -> Iterator[Row]:
    """The row."""
    world = run.world
    [bot] = world.paired(1)
    ours, floor = [], []
    with freed(world, [bot]):
        for _ in range(run.times(ROUNDS)):
            ours.append(_connect(world, bot, {}))
            floor.append(_connect(world, bot, plain.options(world, bot)))
    measured, floors = Sample(tuple(ours), Unit.SECONDS), Sample(tuple(floor), Unit.SECONDS)
    yield Row("container start → connected, session present", None, measured, floors, GOAL)


def _connect(world: World, bot: str, changes: dict[str, Any]) -> float:
    bare = world.bare
    began = time.time()
    container = bare.run(bot, **changes)
    try:
        since = world.wait_online([bot], after=began)[bot]
        return since - bare.started_at([container])[container]
    finally:
        bare.remove([container])
