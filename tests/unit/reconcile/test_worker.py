"""The worker on the in-memory engine: how it handles the actions of operators and failures of machines."""

import pytest

from bot_runtime.contract import ExitCode
from orchestrator.engine.base import ContainerState, DiskFullError, EngineError, InvalidSpecError, NetworkMissingError
from orchestrator.reconcile.exits import DISK_FULL_RETRY_SECONDS
from orchestrator.states import Approval, DesiredState
from tests.unit.reconcile.doubles import SERVER, World
from tests.unit.reconcile.steps import BOT, NAME, last_exit, online, starts

NETWORK = f"botdock-{SERVER}"


class TestStartingAndStopping:
    async def test_an_approved_bot_gets_a_container_and_a_volume(self, world: World) -> None:
        await online(world)
        assert set(world.host.containers) == set(world.host.volumes) == {NAME}
        assert world.event_types(BOT) == ["container-start"]

    @pytest.mark.parametrize("approval", [Approval.PENDING, Approval.REJECTED])
    async def test_a_bot_that_is_not_approved_gets_no_container(self, world: World, approval: Approval) -> None:
        world.rows.insert(BOT, approval_status=approval)
        await world.run(BOT, 3600)
        assert not world.host.containers
        assert world.phase(BOT)[0] == "pending"

    async def test_a_stopped_bot_has_no_container_and_keeps_its_volume(self, world: World) -> None:
        await online(world)
        world.rows.update(BOT, desired_state=DesiredState.STOPPED)
        await world.run(BOT, 60)
        assert not world.host.containers
        assert set(world.host.volumes) == {NAME}
        assert world.phase(BOT) == ("stopped", "")
        assert "container-exit" not in world.event_types(BOT)

    async def test_a_container_that_ignores_sigterm_is_killed_at_the_deadline_and_not_before(
        self, world: World
    ) -> None:
        await online(world)
        world.host.containers[NAME].ignores_sigterm = True
        world.rows.update(BOT, desired_state=DesiredState.STOPPED)
        await world.run(BOT, 9.9)
        assert world.host.containers[NAME].state is ContainerState.RUNNING
        assert world.phase(BOT)[0] == "stopping"
        await world.run(BOT, 1)
        assert not world.host.containers

    async def test_a_bot_that_exits_as_requested_has_not_failed_even_if_it_is_started_again_meanwhile(
        self, world: World
    ) -> None:
        await online(world)
        world.host.containers[NAME].ignores_sigterm = True
        world.rows.update(BOT, desired_state=DesiredState.STOPPED)
        await world.run(BOT, 3)
        world.rows.update(BOT, desired_state=DesiredState.RUNNING)
        await world.run(BOT, 3)
        assert world.phase(BOT)[0] == "stopping"
        world.host.crash(NAME, 0)
        await world.run(BOT, 60)
        assert world.phase(BOT)[0] == "online"
        assert world.event_types(BOT) == ["container-start", "container-start"]
        assert world.rows.status[BOT].restarts == 0

    async def test_a_new_leader_keeps_the_deadline_of_a_stop_in_progress(self, world: World) -> None:
        await online(world)
        world.host.containers[NAME].ignores_sigterm = True
        world.rows.update(BOT, desired_state=DesiredState.STOPPED)
        await world.run(BOT, 6)
        world.new_controller()
        await world.run(BOT, 3.9)
        assert NAME in world.host.containers
        await world.run(BOT, 1)
        assert NAME not in world.host.containers

    async def test_a_bot_stopped_and_removed_manually_has_not_failed(self, world: World) -> None:
        await online(world)
        world.host.remove_by_hand(NAME)
        world.rows.update(BOT, desired_state=DesiredState.STOPPED)
        await world.run(BOT)
        world.rows.update(BOT, desired_state=DesiredState.RUNNING)
        await world.run(BOT)
        assert world.event_types(BOT) == ["container-start", "container-start"]

    async def test_delete_removes_container_volume_and_row(self, world: World) -> None:
        await online(world)
        world.rows.update(BOT, deleting=True)
        await world.run(BOT, 60)
        assert not world.host.containers
        assert not world.host.volumes
        assert not world.rows.bots
        assert not world.controller.states.by_id

    async def test_a_deletion_that_is_cancelled_at_the_last_moment_removes_no_volume(self, world: World) -> None:
        await online(world)
        world.rows.update(BOT, deleting=True)
        world.controller.notice(BOT)
        world.controller.states.reload(*(await world.controller.store.bot(BOT) or ()))
        world.controller.states.stale.discard(BOT)
        world.rows.update(BOT, deleting=False)
        assert [await world.controller.round(BOT) for _ in range(2)] == [10, 0.0]
        assert set(world.host.volumes) == {NAME}
        await world.run(BOT, 60)
        assert world.phase(BOT)[0] == "online"


class TestReplacing:
    async def test_restart_replaces_the_container_once(self, world: World) -> None:
        before = await online(world)
        world.rows.update(BOT, restart_generation=1)
        await world.run(BOT, 60)
        assert world.host.containers[NAME].id != before
        assert world.host.containers[NAME].starts == 1
        assert "container-exit" not in world.event_types(BOT)

    async def test_new_limits_replace_the_container_and_keep_the_volume(self, world: World) -> None:
        before, volume = await online(world), world.host.volumes[NAME]
        world.rows.update(BOT, limits={"pids": 32})
        await world.run(BOT, 60)
        assert world.host.containers[NAME].id != before
        assert world.host.volumes[NAME] is volume

    async def test_new_settings_do_not_replace_the_container(self, world: World) -> None:
        before = await online(world)
        world.rows.update(BOT, settings={"prefix": "!"}, name="Another name")
        await world.run(BOT, 60)
        assert (world.host.containers[NAME].id, world.host.containers[NAME].starts) == (before, 1)

    async def test_fresh_gives_a_new_volume_once(self, world: World) -> None:
        await online(world)
        before = world.host.volumes[NAME]
        world.rows.update(BOT, restart_generation=1, session_generation=1)
        await world.run(BOT, 60)
        after = world.host.volumes[NAME]
        assert after is not before
        await world.run(BOT, 600)
        assert world.host.volumes[NAME] is after

    async def test_a_missing_new_image_takes_no_bot_down(self, world: World) -> None:
        before = await online(world)
        world.host.missing_images.add("botdock/bot:typo")
        world.new_controller(bot_image="botdock/bot:typo")
        await world.run(BOT, 60)
        assert world.host.containers[NAME].id == before
        assert world.phase(BOT) == ("degraded", "image-missing")
        world.host.missing_images.clear()
        await world.run(BOT, 60)
        assert world.host.containers[NAME].id != before
        assert world.phase(BOT)[0] == "online"

    async def test_a_hung_bot_is_not_killed_while_that_is_refused(self, world: World) -> None:
        before = await online(world)
        world.controller.refusal = "almost no bot answers"
        world.controller.hangs(BOT)
        await world.run(BOT, 600, answering=False)
        assert world.host.containers[NAME].id == before
        assert world.phase(BOT)[0] == "online"
        assert world.rows.status[BOT].message == "almost no bot answers"
        world.controller.refusal = ""
        await world.run(BOT, 10)
        assert world.host.containers[NAME].id != before

    async def test_a_hung_bot_gets_a_new_container(self, world: World) -> None:
        before = await online(world)
        world.controller.hangs(BOT)
        await world.run(BOT, 5)
        assert world.host.containers[NAME].id != before
        assert last_exit(world)["reason"] == "liveness-failed"

    async def test_a_paused_bot_gets_a_new_container(self, world: World) -> None:
        await online(world)
        world.host.pause(NAME)
        world.controller.hangs(BOT)
        await world.run(BOT, 5)
        assert world.host.containers[NAME].state is ContainerState.RUNNING


class TestFailures:
    async def test_a_crash_is_recorded_and_followed_by_an_immediate_restart(self, world: World) -> None:
        await online(world)
        world.host.say(NAME, b"panic: everything\n")
        world.host.crash(NAME, 2)
        await world.run(BOT)
        exit_ = last_exit(world)
        assert (exit_["exitCode"], exit_["reason"], exit_["logs"]) == (2, "crashed", ["panic: everything"])
        assert world.event_types(BOT) == ["container-start", "container-exit", "container-start"]
        assert world.rows.status[BOT].restarts == 1

    async def test_out_of_memory_is_distinguished_from_a_crash(self, world: World) -> None:
        await online(world)
        world.host.crash(NAME, 137, oom=True)
        await world.run(BOT)
        assert world.event_types(BOT)[1:3] == ["container-oom", "container-exit"]

    async def test_a_container_that_exited_while_probes_failed_keeps_its_own_reason(self, world: World) -> None:
        await online(world)
        world.host.crash(NAME, 137, oom=True)
        world.controller.hangs(BOT)
        world.controller.state(BOT).observed_dirty = False
        await world.controller.round(BOT)
        await world.run(BOT, 1)
        exit_ = last_exit(world)
        assert exit_["reason"] == "oom-killed"

    async def test_a_kill_prevented_by_an_outage_of_postgres_is_not_the_reason_of_a_later_crash(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def unavailable() -> None:
            raise OSError("Postgres is unavailable")

        before = await online(world)
        world.controller.hangs(BOT)
        with monkeypatch.context() as patch:
            patch.setattr(world.controller.store, "check_leadership", unavailable)
            with pytest.raises(OSError, match="unavailable"):
                await world.controller.round(BOT)
        world.controller.answers(BOT)
        await world.run(BOT, 60)
        assert world.host.containers[NAME].id == before
        world.host.crash(NAME, 2)
        await world.run(BOT)
        assert last_exit(world)["reason"] == "crashed"

    async def test_a_removed_container_is_created_again(self, world: World) -> None:
        before = await online(world)
        world.host.remove_by_hand(NAME)
        await world.run(BOT)
        assert world.host.containers[NAME].id != before

    async def test_two_starts_without_an_answer_end_in_skipped(self, world: World) -> None:
        world.rows.insert(BOT)
        await world.run(BOT, 600, answering=False)
        assert world.phase(BOT) == ("skipped", "startup-timeout")
        assert starts(world) == 1  # each start had a container of its own
        assert world.event_types(BOT).count("container-start") == 2

    async def test_an_operator_can_start_a_skipped_bot_again(self, world: World) -> None:
        world.rows.insert(BOT)
        await world.run(BOT, 600, answering=False)
        world.rows.bots[BOT].generation += 1
        await world.run(BOT)
        assert world.phase(BOT)[0] == "online"

    async def test_a_missing_image_is_terminal_until_another_image_is_set(self, world: World) -> None:
        world.host.missing_images.add(world.controller.settings.bot_image)
        world.rows.insert(BOT)
        await world.run(BOT, 3600)
        assert world.phase(BOT) == ("skipped", "image-missing")
        assert world.host.calls["create"] == 1
        world.new_controller(bot_image="botdock/bot:other")
        await world.run(BOT)
        assert world.phase(BOT)[0] == "online"

    @pytest.mark.parametrize("error", [DiskFullError("full"), EngineError("strange")])
    async def test_a_refusal_of_the_engine_is_retried_later(self, world: World, error: EngineError) -> None:
        world.host.fail_next("create", error)
        world.rows.insert(BOT)
        await world.run(BOT)
        assert world.phase(BOT) == ("backing-off", error.code)
        await world.run(BOT, 6)
        assert world.phase(BOT)[0] == "online"
        assert world.rows.status[BOT].restarts == 0, "that was no failure of the bot"

    async def test_repeated_refusals_are_retried_less_and_less_often(self, world: World) -> None:
        world.host.disk_full = True
        world.rows.insert(BOT)
        await world.run(BOT, 3600)
        assert world.phase(BOT) == ("backing-off", "disk-full")
        # 5, 10, 20 … 300 seconds apart, whatever else wakes the bot.
        assert world.host.calls["create"] < 20

    async def test_a_bot_without_room_on_its_volume_is_never_skipped(self, world: World) -> None:
        await online(world)
        for _ in range(20):
            world.host.crash(NAME, ExitCode.DISK_FULL)
            await world.run(BOT, 1)
            assert world.phase(BOT) == ("backing-off", "disk-full")
            await world.run(BOT, DISK_FULL_RETRY_SECONDS)
            assert world.phase(BOT)[0] == "online"

    @pytest.mark.parametrize("recreated", [True, False])
    async def test_a_container_of_a_former_network_is_created_again(self, world: World, recreated: bool) -> None:
        await online(world)
        volume, network = world.host.volumes[NAME], world.host.networks.pop(NETWORK)
        if recreated:
            world.host.networks[NETWORK] = dict(network)
        world.host.crash(NAME, 1)
        await world.run(BOT, 1)
        assert world.phase(BOT)[0] == "online"
        assert NETWORK in world.host.networks
        assert world.host.containers[NAME].starts == 1
        assert world.host.volumes[NAME] is volume

    async def test_a_network_that_stays_missing_is_retried_less_and_less_often(self, world: World) -> None:
        await online(world)
        world.host.crash(NAME, 1)
        for _ in range(20):
            world.host.fail_next("start", NetworkMissingError("network not found"))
        await world.run(BOT, 600)
        assert world.phase(BOT) == ("backing-off", "network-missing")
        assert world.host.calls["start"] < 15

    async def test_options_that_the_engine_rejects_are_terminal(self, world: World) -> None:
        world.host.fail_next("create", InvalidSpecError("no"))
        world.rows.insert(BOT)
        await world.run(BOT, 3600)
        assert world.phase(BOT) == ("skipped", "invalid-spec")

    async def test_a_foreign_volume_is_reported(self, world: World) -> None:
        world.host.volumes[NAME] = {}
        world.rows.insert(BOT)
        await world.run(BOT)
        assert world.phase(BOT) == ("backing-off", "name-taken")
        del world.host.volumes[NAME]
        await world.run(BOT, 16)
        assert world.phase(BOT)[0] == "online"

    async def test_invalid_limits_prevent_a_start(self, world: World) -> None:
        world.rows.insert(BOT, limits={"pids": 10**9})
        await world.run(BOT, 60)
        assert world.phase(BOT) == ("skipped", "invalid-config")
        assert not world.host.containers

    @pytest.mark.parametrize("broken", [{"limits": {"pids": -1}}, {"settings": {"prefix": 7}}, {"settings": []}])
    async def test_a_bot_with_a_broken_row_can_be_stopped_and_deleted(
        self, world: World, broken: dict[str, object]
    ) -> None:
        await online(world)
        world.rows.update(BOT, **broken)
        await world.run(BOT, 60)
        assert world.host.containers[NAME].state is ContainerState.RUNNING
        world.rows.update(BOT, desired_state=DesiredState.STOPPED)
        await world.run(BOT, 60)
        assert not world.host.containers
        world.rows.update(BOT, deleting=True)
        await world.run(BOT, 60)
        assert not world.rows.bots
