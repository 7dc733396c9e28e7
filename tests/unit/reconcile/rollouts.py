"""What the tests of rollouts have in common: three bots, and what was replaced of them."""

from orchestrator.reconcile.rollout import SETTLE_SECONDS
from tests.unit.reconcile.doubles import World
from tests.unit.reconcile.steps import online

BOTS = ["bot-1", "bot-2", "bot-3"]


async def running(world: World) -> dict[str, str]:
    """Three bots online; the ids of their containers."""
    return {bot_id: await online(world, bot_id) for bot_id in BOTS}


def replaced(world: World, before: dict[str, str]) -> list[str]:
    """The bots whose container is not the one they had."""
    found = {bot_id: world.controller.container(bot_id) for bot_id in before}
    return [bot_id for bot_id, container in found.items() if container is None or container.id != before[bot_id]]


async def sweep(world: World, *, answering: bool = True) -> None:
    """Every bot is looked at, and once more as if the engine had reported that its container ended."""
    await world.controller.sweep()
    for bot_id in [*BOTS, *BOTS]:
        await world.run(bot_id, answering=answering)


async def settle(world: World, *bots: str) -> None:
    """Let these bots be available for as long as a replacement takes."""
    world.clock.now += SETTLE_SECONDS
    for bot_id in bots:
        await world.run(bot_id)
