"""The worker among others: foreign containers, previous and later controllers, an engine that is unavailable."""

from typing import Any

import pytest

from orchestrator.db.fence import LeadershipLostError
from orchestrator.engine.base import ContainerState, EngineUnavailableError, Label
from orchestrator.states import DesiredState
from tests.unit.reconcile.doubles import OWNER, SERVER, Crashed, World
from tests.unit.reconcile.steps import BOT, NAME, last_exit, online, starts


class TestStrangers:
    async def test_a_foreign_container_with_the_bots_name_is_left_alone(self, world: World) -> None:
        foreign = world.host.add_foreign(NAME)
        world.rows.insert(BOT)
        await world.run(BOT, 600)
        assert world.phase(BOT) == ("backing-off", "name-taken")
        assert foreign.starts == 1
        assert foreign.state is ContainerState.RUNNING
        world.host.remove_by_hand(NAME)
        await world.run(BOT)
        assert world.phase(BOT)[0] == "online"

    async def test_a_renamed_foreign_container_is_left_alone(self, world: World) -> None:
        foreign = world.host.add_foreign(NAME)
        world.rows.insert(BOT)
        await world.run(BOT)
        foreign.name = "elsewhere"
        world.host.containers["elsewhere"] = world.host.containers.pop(NAME)
        await world.run(BOT)
        assert world.phase(BOT)[0] == "online"

    @pytest.mark.parametrize(
        "other",
        [{Label.OWNER: "owner-2"}, {Label.SERVER: "server"}, {Label.BOT_ID: "1-bot-1"}],
        ids=["installation", "server", "bot"],
    )
    async def test_a_container_of_another_installation_or_server_is_foreign(
        self, world: World, other: dict[str, str]
    ) -> None:
        labels = {Label.OWNER: OWNER, Label.SERVER: SERVER, Label.BOT_ID: BOT, **other}
        foreign = world.host.add_foreign(NAME, labels)
        world.rows.insert(BOT)
        await world.run(BOT, 60)
        world.rows.update(BOT, desired_state=DesiredState.STOPPED)
        await world.run(BOT, 60)
        world.rows.update(BOT, deleting=True)
        await world.run(BOT, 60)
        assert foreign.state is ContainerState.RUNNING
        assert not world.rows.bots


class TestTakingOver:
    async def test_running_bots_are_adopted_without_a_restart(self, world: World) -> None:
        before = await online(world)
        world.new_controller()
        await world.run(BOT, answering=False)
        assert world.phase(BOT)[0] == "online"
        await world.run(BOT, 600)
        assert (world.host.containers[NAME].id, world.host.containers[NAME].starts) == (before, 1)

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize("step", range(16))
    @pytest.mark.parametrize(
        "changes", [{"restart_generation": 1}, {"limits": {"pids": 32}}], ids=["restart", "limits"]
    )
    async def test_a_restart_is_graceful_and_done_once_wherever_the_controller_dies(
        self, world: World, changes: dict[str, Any], step: int, after: bool
    ) -> None:
        await online(world)
        world.rows.update(BOT, **changes)
        world.controller.crashes.countdown, world.controller.crashes.after = step, after
        try:
            await world.run(BOT, 60)
        except Crashed:
            world.clock.now += 3600
            world.new_controller()
            await world.run(BOT, 60)
        assert world.phase(BOT)[0] == "online"
        assert world.rows.status[BOT].last_exit is None
        assert world.host.calls["start"] == 2

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize("step", range(20))
    async def test_a_session_is_reset_only_once_wherever_the_controller_dies(
        self, world: World, step: int, after: bool
    ) -> None:
        await online(world)
        world.rows.update(BOT, restart_generation=1, session_generation=1)
        world.controller.crashes.countdown, world.controller.crashes.after = step, after
        old = world.host.volumes[NAME]
        try:
            await world.run(BOT, 60)
            seen = world.host.volumes[NAME]
        except Crashed:
            container = world.controller.container(BOT)
            # A container that was never started has left nothing in its volume that could be lost.
            seen = world.host.volumes.get(NAME, old) if container is not None and container.starts else old
            world.new_controller()
            await world.run(BOT, 60)
        assert world.phase(BOT)[0] == "online"
        assert seen is old or world.host.volumes[NAME] is seen

    async def test_a_start_whose_answer_was_lost_is_adopted_and_its_exit_is_a_failure(self, world: World) -> None:
        world.host.fail_next("start", EngineUnavailableError("lost"), done=True)
        world.rows.insert(BOT)
        await world.run(BOT, 60)
        assert world.phase(BOT)[0] == "online"
        assert starts(world) == 1
        world.host.crash(NAME, 2)
        await world.run(BOT, 60)
        assert last_exit(world)["exitCode"] == 2

    async def test_probe_results_of_a_container_do_not_count_against_the_next_one(self, world: World) -> None:
        await online(world)
        world.controller.hangs(BOT)
        old = world.host.containers[NAME]
        world.host.remove_by_hand(NAME)
        world.host.run(world.host.create(NAME, old.labels, old.spec))
        await world.run(BOT, 60)
        assert world.phase(BOT)[0] == "online"
        assert world.host.containers[NAME].starts == 1
        assert world.host.calls["kill"] == 0

    async def test_a_former_leader_starts_nothing_and_removes_no_session(self, world: World) -> None:
        old = world.controller
        await online(world)
        world.rows.update(BOT, desired_state=DesiredState.STOPPED)
        await world.run(BOT, 60)
        volume = world.host.volumes[NAME]
        for changes in ({"desired_state": DesiredState.RUNNING}, {"session_generation": 1}, {"deleting": True}):
            world.rows.update(BOT, **changes)
            old.notice(BOT)
            world.rows.epoch += 1
            with pytest.raises(LeadershipLostError):
                await old.work(BOT)
            assert world.host.volumes[NAME] is volume
            assert starts(world) == 0

    async def test_an_unavailable_engine_changes_nothing(self, world: World) -> None:
        before = await online(world)
        world.host.set_unavailable(True)
        with pytest.raises(EngineUnavailableError):
            await world.controller.engine.ping()
        assert await world.controller.work(BOT) is not None
        world.host.set_unavailable(False)
        await world.run(BOT, 60)
        assert (world.host.containers[NAME].id, world.host.containers[NAME].starts) == (before, 1)

    async def test_memory_of_another_version_causes_no_session_reset_and_no_restart(self, world: World) -> None:
        await online(world)
        world.rows.update(BOT, restart_generation=1, session_generation=1)
        await world.run(BOT, 60)
        volume, begun = world.host.volumes[NAME], starts(world)
        world.rows.status[BOT].memory = {"history": "strange"}
        world.rows.status[BOT].phase = "unheard-of"
        world.new_controller()
        await world.run(BOT, 60)
        assert world.host.volumes[NAME] is volume
        assert starts(world) == begun

    async def test_containers_removed_while_there_was_no_leader_are_not_failures(self, world: World) -> None:
        await online(world)
        for _ in range(6):
            world.host.remove_by_hand(NAME)
            world.new_controller()
            await world.run(BOT)
            assert world.phase(BOT)[0] == "online"
        assert world.event_types(BOT).count("container-exit") == 6
