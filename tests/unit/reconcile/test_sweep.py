"""What a sweep does although a part of it fails."""

import asyncio

import pytest

from orchestrator.engine.base import EngineError, EngineUnavailableError
from orchestrator.reconcile import sweep
from tests.unit.reconcile.doubles import OWNER, SERVER, World
from tests.unit.reconcile.steps import BOT, online


@pytest.fixture
async def orphans(world: World) -> set[str]:
    """Two containers that the next sweep removes."""
    names = {"orphan-1", "orphan-2"}
    for name in names:
        world.host.add_foreign(name, {"botdock.owner": OWNER, "botdock.server": SERVER, "botdock.bot-id": name})
    await world.controller.sweep()
    world.clock.now += 60
    return names


async def test_an_orphan_that_the_engine_cannot_remove_holds_up_no_other(world: World, orphans: set[str]) -> None:
    world.host.fail_next("remove", EngineError("device or resource busy"))
    await world.controller.sweep()
    assert len(orphans & set(world.host.containers)) == 1
    await world.controller.sweep()
    assert not orphans & set(world.host.containers)


async def test_an_orphan_for_which_the_engine_hangs_holds_up_no_sweep(
    world: World, orphans: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "HELD_UP_SECONDS", 0.01)
    released = asyncio.Event()
    asked: list[str] = []
    remove = world.controller.engine.remove

    async def hang(container: str) -> None:
        asked.append(container)
        if container == asked[0]:
            await released.wait()
        await remove(container)

    monkeypatch.setattr(world.controller.engine, "remove", hang)
    for _ in range(2):
        await world.controller.sweep()
        assert len(orphans & set(world.host.containers)) == 1
    assert len(asked) == 2, "it is not removed twice"
    released.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not orphans & set(world.host.containers)


async def test_an_unavailable_engine_ends_the_sweep(world: World, orphans: set[str]) -> None:
    world.host.fail_next("remove", EngineUnavailableError("restarting"))
    with pytest.raises(EngineUnavailableError):
        await world.controller.sweep()
    assert orphans <= set(world.host.containers)


async def test_bots_are_adopted_although_their_network_is_not_as_it_should_be(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await online(world)
    controller = world.new_controller()
    for _ in range(3):
        world.host.fail_next("ensure_network", EngineError("cannot attach the api"))
        await controller.sweep()
    await world.run(BOT)
    assert world.phase(BOT) == ("online", "")
    assert caplog.text.count("cannot attach the api") == 1
