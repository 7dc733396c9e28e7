"""Rollouts that are interrupted: by other settings, by a network cut, or by an image that arrives late."""

import asyncio

import pytest

from bot_runtime.contract import ConnectionState
from orchestrator.reconcile.rollout import SETTLE_SECONDS, STOPPED
from tests.unit.reconcile.doubles import World
from tests.unit.reconcile.rollouts import BOTS, replaced, running, settle, sweep

FIRST = "botdock-server1-bot-1"


async def begin(world: World) -> dict[str, str]:
    """A bot of three is being replaced and has not answered yet; the containers from before."""
    before = await running(world)
    world.new_controller(bot_image="botdock/bot:2")
    await sweep(world, answering=False)
    assert replaced(world, before) == ["bot-1"]
    return before


async def test_however_often_bad_settings_are_changed_no_further_bot_is_taken_down(world: World) -> None:
    before = await begin(world)
    for image in ("bad-3", "bad-4", "bad-5"):
        world.host.crash(FIRST, 1)
        await sweep(world, answering=False)
        world.new_controller(bot_image=f"botdock/bot:{image}")
        await sweep(world, answering=False)
    world.host.crash(FIRST, 1)
    await sweep(world, answering=False)
    assert replaced(world, before) == ["bot-1"]
    for bot_id in BOTS[1:]:
        assert world.phase(bot_id) == ("online", STOPPED)


async def test_a_bot_that_is_down_counts_when_the_settings_change_again_and_is_the_next(world: World) -> None:
    before = await begin(world)
    world.new_controller(bot_image="botdock/bot:3")
    await world.controller.sweep()
    for bot_id in [*reversed(BOTS), *reversed(BOTS)]:
        await world.run(bot_id, answering=False)
    assert replaced(world, before) == ["bot-1"]
    await sweep(world)
    await settle(world, "bot-1")
    await sweep(world)
    assert replaced(world, before) == ["bot-1", "bot-2"]


async def test_a_bot_that_was_online_before_the_first_of_two_changes_has_to_be_online_after_the_second(
    world: World,
) -> None:
    before = await begin(world)
    world.new_controller(bot_image="botdock/bot:3")
    await sweep(world, answering=False)
    world.controller.answers("bot-1", ConnectionState.CONNECTING)
    for bot_id in BOTS[1:]:
        world.controller.answers(bot_id)
    await sweep(world, answering=False)
    world.clock.now += SETTLE_SECONDS
    await sweep(world, answering=False)
    assert replaced(world, before) == ["bot-1"]


async def test_a_bot_without_a_container_counts_when_the_settings_change_again(world: World) -> None:
    before = await begin(world)
    world.host.remove_by_hand(FIRST)
    world.new_controller(bot_image="botdock/bot:3")
    await world.controller.sweep()
    for bot_id in [*reversed(BOTS), *reversed(BOTS)]:
        await world.run(bot_id, answering=False)
    assert replaced(world, before) == ["bot-1"]
    await settle(world, "bot-1")
    await settle(world, "bot-1")
    assert world.controller.woken == ["bot-2"]


async def test_bots_that_do_not_answer_at_the_moment_are_replaced_no_faster(world: World) -> None:
    before = await begin(world)
    await settle(world, "bot-1")
    await settle(world, "bot-1")
    world.controller.refusal = "almost no bot answers"
    for bot_id in BOTS[1:]:
        assert world.controller.hangs(bot_id)
    await sweep(world, answering=False)
    assert replaced(world, before) == ["bot-1", "bot-2"]


async def test_an_image_that_arrives_between_two_looks_is_rolled_out_like_any_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await running(world)
    world.new_controller(bot_image="botdock/bot:2")
    await world.controller.sweep()
    looks = 0

    async def has_image(_image: str) -> bool:
        nonlocal looks
        looks += 1
        found = looks > len(BOTS)
        await asyncio.sleep(0)
        return found

    monkeypatch.setattr(world.controller.engine, "has_image", has_image)
    await asyncio.gather(*(world.controller.work(bot_id) for bot_id in BOTS))
    await sweep(world, answering=False)
    [new] = replaced(world, before)
    others = [world.controller.container(bot_id) for bot_id in BOTS if bot_id != new]
    assert [container.starts for container in others if container is not None] == [1, 1], "never stopped"


async def test_a_bot_that_gets_a_new_session_is_not_waited_for_until_it_is_paired(world: World) -> None:
    before = await begin(world)
    world.rows.update("bot-1", restart_generation=1, session_generation=1)
    await sweep(world, answering=False)
    world.controller.answers("bot-1", ConnectionState.PAIRING)
    await sweep(world, answering=False)
    world.clock.now += SETTLE_SECONDS
    await world.run("bot-1", answering=False)
    assert world.phase("bot-1")[0] == "pairing"
    assert world.controller.woken == ["bot-2"]
    assert replaced(world, before) == ["bot-1"]
