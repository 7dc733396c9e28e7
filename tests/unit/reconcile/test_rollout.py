"""Which bots' containers are replaced, and when, after the installation's settings changed."""

from dataclasses import replace

import pytest

from bot_runtime.contract import ConnectionState
from orchestrator.engine.base import ContainerState, EngineError
from orchestrator.reconcile import rollout
from orchestrator.reconcile.rollout import (
    PROBATION_SECONDS,
    SETTLE_AFTER_FAILURE_SECONDS,
    SETTLE_SECONDS,
    STALL_SECONDS,
    STOPPED,
    Fitness,
    Progress,
    Replacement,
    RolloutBot,
)
from tests.unit.reconcile.doubles import World
from tests.unit.reconcile.rollouts import BOTS, replaced, running, settle, sweep

STARTED = Replacement("new", 100.0, before=Fitness.STABLE, was_online=True)
FREE = Progress(slots=2, in_progress=1, proven=False, failure="")


def bot(number: int, *, works_with: str | None = "old", replacement: Replacement | None = None) -> RolloutBot:
    return RolloutBot(f"bot-{number}", desired=True, works_with=works_with, replacement=replacement)


class TestPolicy:
    @pytest.mark.parametrize(
        ("setting", "bots", "expected"),
        [("5%", 0, 1), ("5%", 39, 1), ("5%", 40, 2), ("5%", 1000, 50), ("100%", 7, 7), ("3", 1, 3)],
    )
    def test_the_limit_is_a_number_or_a_share_of_at_least_one(self, setting: str, bots: int, expected: int) -> None:
        assert rollout.max_unavailable(setting, bots) == expected

    def test_no_more_than_the_limit_are_replaced_at_the_same_time(self) -> None:
        assert rollout.hold(FREE, Fitness.STABLE) is None
        waiting = rollout.hold(replace(FREE, in_progress=2), Fitness.STABLE)
        assert waiting is not None
        assert waiting.reason == ""

    def test_after_a_failure_no_further_bot_is_replaced(self) -> None:
        for fitness in Fitness:
            held = rollout.hold(replace(FREE, proven=True, failure="bot bot-1: crashed"), fitness)
            assert held is not None
            assert held.reason == STOPPED
            assert "bot bot-1: crashed" in held.message

    @pytest.mark.parametrize("fitness", [Fitness.FAILS_TO_START, Fitness.UNSTABLE])
    def test_bots_that_do_not_work_are_limited_until_another_works_with_the_settings(self, fitness: Fitness) -> None:
        full = replace(FREE, in_progress=2)
        assert rollout.hold(full, fitness) is not None
        assert rollout.hold(replace(full, proven=True), fitness) is None

    def test_what_is_in_progress_follows_from_the_bots(self) -> None:
        broken = replace(STARTED, before=Fitness.FAILS_TO_START)
        earlier = replace(STARTED, settings_hash="older", failure="crashed")
        fleet = [bot(1, replacement=STARTED), bot(2, replacement=broken), bot(3, replacement=earlier), bot(4)]
        found = rollout.progress(fleet, settings_hash="new", setting="2", now=110.0)
        assert found == Progress(slots=2, in_progress=3, proven=False, failure="")
        found = rollout.progress([*fleet, bot(5, works_with="new")], settings_hash="new", setting="2", now=110.0)
        assert found == Progress(slots=2, in_progress=2, proven=True, failure="")

    def test_a_failed_replacement_is_named(self) -> None:
        failed = replace(STARTED, failure="the bot crashed")
        found = rollout.progress([bot(1, replacement=failed)], settings_hash="new", setting="1", now=110.0)
        assert found.failure == "bot bot-1: the bot crashed"

    def test_a_replacement_ends_when_the_bot_has_been_available_for_a_while(self) -> None:
        first = rollout.observe(STARTED, available=True, now=100.0)
        assert first is not None
        assert rollout.observe(first, available=True, now=100.0 + SETTLE_SECONDS - 1) == first
        assert rollout.observe(first, available=False, now=101.0) == STARTED
        settled = rollout.observe(first, available=True, now=100.0 + SETTLE_SECONDS)
        assert not rollout.is_open(settled)

    @pytest.mark.parametrize("available", [True, False])
    def test_a_bot_is_on_probation_after_its_replacement(self, available: bool) -> None:
        settled = replace(STARTED, settled_at=200.0)
        assert rollout.observe(settled, available=available, now=200.0 + PROBATION_SECONDS - 1) == settled
        assert rollout.observe(settled, available=available, now=200.0 + PROBATION_SECONDS) is None
        assert rollout.observe(settled, available=available, now=100.0) is None, "the clock was set back"
        failed = rollout.record_exit(settled, after=Fitness.UNSTABLE, message="crashed")
        assert rollout.is_open(failed)

    def test_a_bot_that_failed_must_be_available_for_longer(self) -> None:
        first = replace(STARTED, failure="crashed", available_since=100.0)
        assert rollout.observe(first, available=True, now=100.0 + SETTLE_AFTER_FAILURE_SECONDS - 1) == first
        settled = rollout.observe(first, available=True, now=100.0 + SETTLE_AFTER_FAILURE_SECONDS)
        assert settled is not None
        assert (settled.failure, rollout.is_open(settled)) == ("", False)

    def test_a_bot_on_probation_works_with_the_settings(self) -> None:
        settled = bot(1, works_with="new", replacement=replace(STARTED, settled_at=105.0))
        found = rollout.progress([settled, bot(2)], settings_hash="new", setting="1", now=110.0)
        assert found == Progress(slots=1, in_progress=0, proven=True, failure="")

    @pytest.mark.parametrize("before", Fitness)
    @pytest.mark.parametrize("after", [Fitness.FAILS_TO_START, Fitness.UNSTABLE])
    def test_a_replacement_fails_when_the_bot_is_worse_afterwards(self, before: Fitness, after: Fitness) -> None:
        found = rollout.record_exit(replace(STARTED, before=before), after=after, message="crashed")
        assert (found is not None and found.failure == "crashed") == (after < before)


class TestWorker:
    async def test_one_bot_after_the_other_is_replaced(self, world: World) -> None:
        before = await running(world)
        world.new_controller(bot_image="botdock/bot:2")
        await sweep(world)
        assert replaced(world, before) == ["bot-1"]
        assert world.phase("bot-2") == ("online", "")
        assert "waiting to be replaced" in world.rows.status["bot-2"].message
        await settle(world, "bot-1")
        assert world.controller.woken == ["bot-2"]
        await sweep(world)
        assert replaced(world, before) == ["bot-1", "bot-2"]
        await settle(world, "bot-2")
        await sweep(world)
        await settle(world, *BOTS)
        assert replaced(world, before) == BOTS
        assert {world.phase(bot_id) for bot_id in BOTS} == {("online", "")}
        assert {world.rows.status[bot_id].message for bot_id in BOTS} == {""}

    async def test_a_bot_that_is_not_connected_again_holds_up_the_next(self, world: World) -> None:
        before = await running(world)
        world.new_controller(bot_image="botdock/bot:2")
        await sweep(world, answering=False)
        for bot_id in BOTS:
            world.controller.answers(
                bot_id, ConnectionState.CONNECTING if bot_id == "bot-1" else ConnectionState.ONLINE
            )
        world.clock.now += SETTLE_SECONDS
        await sweep(world, answering=False)
        assert replaced(world, before) == ["bot-1"]
        assert world.phase("bot-2") == ("online", "")
        world.clock.now += STALL_SECONDS
        await sweep(world, answering=False)
        assert replaced(world, before) == ["bot-1"]
        assert world.phase("bot-2") == ("online", STOPPED)
        assert "bot bot-1 has them and is not available again" in world.rows.status["bot-2"].message
        await sweep(world)
        await settle(world, "bot-1")
        await sweep(world)
        assert replaced(world, before) == ["bot-1", "bot-2"]

    async def test_the_first_replacement_that_exits_stops_the_rollout(self, world: World) -> None:
        before = await running(world)
        world.new_controller(bot_image="botdock/bot:bad", max_unavailable="1")
        await sweep(world, answering=False)
        world.host.crash("botdock-server1-bot-1", 1)
        await sweep(world, answering=False)
        assert sorted(world.controller.woken) == ["bot-2", "bot-3"]
        await sweep(world, answering=False)
        assert replaced(world, before) == ["bot-1"]
        for bot_id in BOTS[1:]:
            assert world.phase(bot_id) == ("online", STOPPED)
            assert "bot bot-1: the bot crashed with exit code 1" in world.rows.status[bot_id].message

    async def test_a_stopped_rollout_stays_stopped_under_a_new_leader(self, world: World) -> None:
        before = await running(world)
        world.new_controller(bot_image="botdock/bot:bad")
        await sweep(world, answering=False)
        world.host.crash("botdock-server1-bot-1", 1)
        await sweep(world, answering=False)
        world.new_controller(bot_image="botdock/bot:bad")
        await sweep(world, answering=False)
        assert replaced(world, before) == ["bot-1"]
        assert world.phase("bot-3") == ("online", STOPPED)

    async def test_a_new_leader_continues_with_what_is_in_progress(self, world: World) -> None:
        before = await running(world)
        world.new_controller(bot_image="botdock/bot:2")
        await sweep(world, answering=False)
        world.new_controller(bot_image="botdock/bot:2")
        for bot_id in reversed(BOTS):
            await world.controller.sweep()
            await world.run(bot_id, answering=False)
        assert replaced(world, before) == ["bot-1"]

    async def test_nothing_is_replaced_before_all_bots_were_read(self, world: World) -> None:
        before = await running(world)
        world.new_controller(bot_image="botdock/bot:2").complete = False
        await sweep(world)
        assert replaced(world, before) == []

    async def test_a_container_that_ends_during_a_stopped_rollout_is_started_again(self, world: World) -> None:
        before = await running(world)
        world.new_controller(bot_image="botdock/bot:bad")
        await sweep(world, answering=False)
        for bot_id in BOTS:
            world.host.crash(f"botdock-server1-{bot_id}", 1)
        await sweep(world, answering=False)
        await sweep(world)
        assert replaced(world, before) == ["bot-1"]
        container = world.controller.container("bot-2")
        assert container is not None
        assert container.state is ContainerState.RUNNING

    async def test_a_hung_bot_is_restarted_in_its_container_while_the_rollout_is_stopped(self, world: World) -> None:
        before = await running(world)
        world.new_controller(bot_image="botdock/bot:bad")
        await sweep(world, answering=False)
        world.host.crash("botdock-server1-bot-1", 1)
        await sweep(world)
        world.controller.hangs("bot-2")
        await sweep(world)
        await world.run("bot-2", 5)
        assert replaced(world, before) == ["bot-1"]
        assert world.phase("bot-2") == ("online", STOPPED)

    async def test_a_container_whose_network_is_gone_is_replaced_even_then(self, world: World) -> None:
        before = await running(world)
        world.new_controller(bot_image="botdock/bot:bad")
        await sweep(world, answering=False)
        world.host.crash("botdock-server1-bot-1", 1)
        await sweep(world, answering=False)
        world.host.networks["botdock-server1"] = dict(world.host.networks["botdock-server1"])
        world.host.crash("botdock-server1-bot-2", 1)
        await sweep(world)
        assert replaced(world, before) == ["bot-1", "bot-2"]
        assert world.phase("bot-2") == ("online", "")

    async def test_a_container_that_ends_while_the_new_image_is_missing_is_started_again(self, world: World) -> None:
        before = await running(world)
        world.host.missing_images.add("botdock/bot:typo")
        world.new_controller(bot_image="botdock/bot:typo")
        world.host.crash("botdock-server1-bot-1", 1)
        await sweep(world)
        container = world.controller.container("bot-1")
        assert container is not None
        assert container.state is ContainerState.RUNNING
        assert replaced(world, before) == []

    async def test_an_operators_restart_is_not_held_up(self, world: World) -> None:
        before = await running(world)
        world.new_controller(bot_image="botdock/bot:bad")
        await sweep(world, answering=False)
        world.host.crash("botdock-server1-bot-1", 1)
        await sweep(world)
        world.rows.update("bot-3", restart_generation=1)
        await sweep(world)
        assert replaced(world, before) == ["bot-1", "bot-3"]

    async def test_a_bots_own_change_is_not_held_up(self, world: World) -> None:
        before = await running(world)
        for bot_id in BOTS:
            world.rows.update(bot_id, limits={"pids": 100})
        await sweep(world, answering=False)
        assert replaced(world, before) == BOTS

    async def test_going_back_to_the_former_settings_replaces_only_what_was_replaced(self, world: World) -> None:
        before = await running(world)
        world.new_controller(bot_image="botdock/bot:bad")
        await sweep(world, answering=False)
        world.host.crash("botdock-server1-bot-1", 1)
        await sweep(world)
        world.new_controller()
        await sweep(world)
        await sweep(world)
        assert replaced(world, before) == ["bot-1"]
        assert {world.phase(bot_id) for bot_id in BOTS} == {("online", "")}

    async def test_the_rollout_continues_when_the_failed_bot_works_after_all(self, world: World) -> None:
        before = await running(world)
        world.new_controller(bot_image="botdock/bot:2")
        await sweep(world, answering=False)
        world.host.crash("botdock-server1-bot-1", 1)
        await sweep(world)
        assert world.phase("bot-2") == ("online", STOPPED)
        world.clock.now += SETTLE_AFTER_FAILURE_SECONDS - 1
        await sweep(world)
        assert replaced(world, before) == ["bot-1"]
        world.clock.now += 1
        await sweep(world)
        await sweep(world)
        assert replaced(world, before) == ["bot-1", "bot-2"]

    async def test_settings_with_which_bots_work_only_for_a_while_stop_the_rollout(self, world: World) -> None:
        before = await running(world)
        world.new_controller(bot_image="botdock/bot:2")
        await sweep(world)
        for _ in range(3):
            await settle(world, "bot-1")
            world.clock.now += SETTLE_SECONDS
            world.new_controller(bot_image="botdock/bot:2")
            await sweep(world)
            world.host.crash("botdock-server1-bot-1", 1)
            await sweep(world)
        assert replaced(world, before) == ["bot-1", "bot-2"]
        assert world.phase("bot-3") == ("online", STOPPED)
        assert "bot bot-1: the bot crashed" in world.rows.status["bot-3"].message

    async def test_a_container_that_cannot_be_started_stops_the_rollout(self, world: World) -> None:
        before = await running(world)
        world.new_controller(bot_image="botdock/bot:bad")
        world.host.fail_next("create", EngineError("no such command"))
        await sweep(world, answering=False)
        await sweep(world, answering=False)
        assert replaced(world, before) == ["bot-1"]
        assert "no such command" in world.rows.status["bot-3"].message
