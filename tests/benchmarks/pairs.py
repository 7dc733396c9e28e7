"""Two equal halves of the paired bots: one run by the controller, the other's volumes used by bare containers."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.world import World


@contextmanager
def freed(world: World, bots: list[str]) -> Iterator[None]:
    """Stop these bots for the duration of the block, so that their sessions can be used by other containers."""
    world.set_desired_state(bots, "stopped")
    world.wait_phase(bots, "stopped")
    try:
        yield
    finally:
        world.set_desired_state(bots, "running")
        world.wait_phase(bots, "online")
