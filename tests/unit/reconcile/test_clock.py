"""A clock that is set back by an hour makes nothing last an hour longer."""

from orchestrator.reconcile.worker import REFUSED_MAX_DELAY_SECONDS
from orchestrator.states import DesiredState
from tests.unit.reconcile.doubles import World
from tests.unit.reconcile.steps import BOT, NAME, online

HOUR = 3600.0


async def test_a_restart(world: World) -> None:
    await online(world)
    for _ in range(2):
        world.host.crash(NAME, 2)
        await world.run(BOT)
    assert world.phase(BOT)[0] == "backing-off"
    world.clock.now -= HOUR
    await world.run(BOT, 1.25 * REFUSED_MAX_DELAY_SECONDS)
    assert world.phase(BOT)[0] == "online"


async def test_a_stop(world: World) -> None:
    await online(world)
    world.host.containers[NAME].ignores_sigterm = True
    world.rows.update(BOT, desired_state=DesiredState.STOPPED)
    await world.run(BOT, 3)
    world.clock.now -= HOUR
    await world.run(BOT, world.controller.settings.stop_timeout + 1)
    assert not world.host.containers


async def test_the_wait_for_the_first_answer(world: World) -> None:
    world.rows.insert(BOT)
    await world.run(BOT, answering=False)
    world.clock.now -= HOUR
    await world.run(BOT, world.controller.settings.startup_timeout + 1, answering=False)
    assert "container-exit" in world.event_types(BOT)
