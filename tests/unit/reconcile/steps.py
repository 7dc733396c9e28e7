"""What the tests of the worker have in common: one bot, brought online, and looked at."""

from typing import Any

from tests.unit.reconcile.doubles import SERVER, World

BOT = "bot-1"
NAME = f"botdock-{SERVER}-{BOT}"


async def online(world: World, bot: str = BOT) -> str:
    """Create a bot and bring it online; returns its container's id."""
    world.rows.insert(bot)
    await world.run(bot)
    assert world.phase(bot)[0] == "online"
    container = world.controller.container(bot)
    assert container is not None
    return container.id


def starts(world: World) -> int:
    return sum(item.starts for item in world.host.containers.values())


def last_exit(world: World) -> dict[str, Any]:
    exit_ = world.rows.status[BOT].last_exit
    assert exit_ is not None
    return exit_
