"""Two equal halves of the paired bots: one under the controller, the other's volumes in bare containers."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.world import World


@contextmanager
def freed(world: World, bots: list[str]) -> Iterator[None]:
    """For the length of the block the controller leaves these bots alone, and their sessions are free to use."""
    world.want(bots, "stopped")
    world.wait_phase(bots, "stopped")
    try:
        yield
    finally:
        world.want(bots, "running")
        world.wait_phase(bots, "online")
