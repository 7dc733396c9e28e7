"""What `Engine` promises, held against the Docker engine and the one in memory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from orchestrator.engine.base import (
    ContainerState,
    Engine,
    EngineError,
    EngineEvent,
    EngineEventKind,
    EngineUnavailable,
    ImageMissing,
    InvalidSpec,
    Label,
    NameTaken,
    NetworkMissing,
    NotFound,
)
from tests.integration.engine.worlds import (
    CRASH_EXIT_CODE,
    DEADLINE_SECONDS,
    READY,
    MemoryWorld,
    World,
    bot_spec,
    state_of,
    until,
)


@pytest.fixture
async def engine(world: World) -> Engine:
    """An engine whose network stands."""
    engine = world.engine()
    await engine.ensure_network(f"{world.tag}-net")
    return engine


async def exited(engine: Engine, name: str) -> None:
    async def condition() -> bool:
        return await state_of(engine, name) is ContainerState.EXITED

    await until(condition, f"{name} has exited")


# --- containers ---------------------------------------------------------------------------------------------------


async def test_a_container_is_made_started_ended_started_again_and_removed(world: World, engine: Engine) -> None:
    spec = bot_spec(world)

    made = await engine.create(spec)
    created = await engine.inspect(spec.name)
    assert created is not None
    assert (created.id, created.name, created.state) == (made, spec.name, ContainerState.CREATED)
    assert (created.started_at, created.exit_code, created.address) == (None, None, None)
    await engine.remove(made)

    before = datetime.now(UTC)
    await world.say(engine, spec, b"")
    running = await engine.inspect(spec.name)
    assert running is not None
    assert running.state is ContainerState.RUNNING
    assert running.up
    assert running.address is not None
    assert running.started_at is not None
    assert running.started_at >= before
    assert running.exit_code is None

    await engine.kill(running.id, "SIGTERM")
    await exited(engine, spec.name)
    ended = await engine.inspect(running.id)
    assert ended is not None
    assert (ended.exit_code, ended.oom_killed, ended.up, ended.address) == (0, False, False, None)
    assert ended.finished_at is not None
    assert ended.finished_at >= running.started_at

    await engine.start(running.id)
    assert await state_of(engine, spec.name) is ContainerState.RUNNING

    await engine.remove(running.id)
    assert await engine.inspect(spec.name) is None
    assert await engine.inspect(running.id) is None


async def test_a_crash_shows_its_exit_code(world: World, engine: Engine) -> None:
    spec = await world.say(engine, bot_spec(world), b"")
    await world.crash(spec.name)
    await exited(engine, spec.name)
    ended = await engine.inspect(spec.name)
    assert ended is not None
    assert (ended.exit_code, ended.oom_killed) == (CRASH_EXIT_CODE, False)


async def test_running_out_of_memory_is_told_apart_from_a_crash(world: World, engine: Engine) -> None:
    spec = await world.say(engine, bot_spec(world), b"")
    await world.run_out_of_memory(spec.name)
    await exited(engine, spec.name)

    async def flagged() -> bool:
        container = await engine.inspect(spec.name)
        return container is not None and container.oom_killed and container.exit_code == 137

    await until(flagged, "the container is marked as killed for its memory")


async def test_starting_killing_and_removing_twice_is_no_error(world: World, engine: Engine) -> None:
    spec = await world.say(engine, bot_spec(world), b"")
    await engine.start(spec.name)
    await engine.kill(spec.name, "SIGKILL")
    await exited(engine, spec.name)
    await engine.kill(spec.name, "SIGKILL")
    await engine.kill(spec.name, "SIGTERM")
    await asyncio.gather(*(engine.remove(spec.name) for _ in range(4)))
    await engine.remove(spec.name)


async def test_a_running_container_is_removed_in_one_call(world: World, engine: Engine) -> None:
    spec = await world.say(engine, bot_spec(world), b"")
    await engine.remove(spec.name)
    assert await engine.inspect(spec.name) is None


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGKILL"])
async def test_a_frozen_container_can_be_ended(world: World, engine: Engine, signal: str) -> None:
    spec = await world.say(engine, bot_spec(world), b"")
    await world.pause(spec.name)
    frozen = await engine.inspect(spec.name)
    assert frozen is not None
    assert frozen.state is ContainerState.PAUSED
    assert frozen.up
    await engine.kill(spec.name, signal)
    await exited(engine, spec.name)


async def test_what_does_not_exist_is_not_found(world: World, engine: Engine) -> None:
    name = f"{world.tag}-nobody"
    assert await engine.inspect(name) is None
    for call in (engine.start(name), engine.kill(name, "SIGTERM"), engine.logs(name, tail=5)):
        with pytest.raises(NotFound):
            await call
    await engine.remove(name)
    await engine.remove_volume(name)


async def test_of_two_containers_with_one_name_the_second_is_refused(world: World, engine: Engine) -> None:
    spec = bot_spec(world)
    answers = await asyncio.gather(*(engine.create(spec) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(answer, str) for answer in answers) == 1
    assert sum(isinstance(answer, NameTaken) for answer in answers) == 3


async def test_a_foreign_container_with_our_name_is_seen_and_left_alone(world: World, engine: Engine) -> None:
    spec = bot_spec(world)
    await world.add_foreign(spec.name, {"made-by": "somebody else"})
    with pytest.raises(NameTaken, match=spec.name):
        await engine.create(spec)
    foreign = await engine.inspect(spec.name)
    assert foreign is not None
    assert foreign.state is ContainerState.RUNNING
    assert foreign.labels["made-by"] == "somebody else"
    assert Label.OWNER not in foreign.labels
    assert await engine.list_containers() == []


async def test_a_missing_image_is_named(world: World, engine: Engine) -> None:
    spec = replace(bot_spec(world), image="engine-test/there-is-no-such-image:0")
    if isinstance(world, MemoryWorld):
        world.host.missing_images.add(spec.image)
    with pytest.raises(ImageMissing, match="there-is-no-such-image"):
        await engine.create(spec)
    assert await engine.inspect(spec.name) is None


async def test_options_that_cannot_work_are_refused(world: World, engine: Engine) -> None:
    with pytest.raises(InvalidSpec, match="memory"):
        await engine.create(replace(bot_spec(world), memory_bytes=1000))


# --- what is ours ---------------------------------------------------------------------------------------------------


async def test_labels_are_kept_and_ours_are_added(world: World, engine: Engine) -> None:
    spec = bot_spec(world)
    await engine.create(spec)
    [listed] = await engine.list_containers()
    inspected = await engine.inspect(spec.name)
    assert inspected is not None
    assert listed.labels == inspected.labels
    assert spec.labels.items() <= listed.labels.items()
    assert listed.labels[Label.SERVER] == "server1"
    assert listed.labels[Label.OWNER].endswith("a")


async def test_a_list_shows_this_server_of_this_installation_only(world: World, engine: Engine) -> None:
    other_owner, other_server = world.engine(owner="b"), world.engine(server="server2")
    await engine.create(bot_spec(world, "mine"))
    await other_owner.create(bot_spec(world, "of-another-installation"))
    await other_server.create(bot_spec(world, "of-another-server"))
    await world.add_foreign(f"{world.tag}-foreign", {Label.SERVER: "server1"})

    async def listed(engine: Engine) -> list[str]:
        return [container.labels[Label.BOT_ID] for container in await engine.list_containers()]

    assert await listed(engine) == ["mine"]
    assert await listed(other_owner) == ["of-another-installation"]
    assert await listed(other_server) == ["of-another-server"]


async def test_a_list_shows_containers_in_every_state_with_their_addresses(world: World, engine: Engine) -> None:
    running = await world.say(engine, bot_spec(world, "running"), b"")
    await engine.create(bot_spec(world, "created"))
    ended = await world.say(engine, bot_spec(world, "ended"), b"")
    await engine.kill(ended.name, "SIGKILL")
    await exited(engine, ended.name)

    listed = {container.labels[Label.BOT_ID]: container for container in await engine.list_containers()}
    assert {bot: container.state for bot, container in listed.items()} == {
        "running": ContainerState.RUNNING,
        "created": ContainerState.CREATED,
        "ended": ContainerState.EXITED,
    }
    inspected = await engine.inspect(running.name)
    assert inspected is not None
    assert listed["running"].address == inspected.address
    assert (listed["running"].started_at, listed["ended"].exit_code) == (None, None)


async def test_a_volume_outlives_its_container_and_goes_when_asked_for(world: World, engine: Engine) -> None:
    spec = bot_spec(world)
    await engine.create(spec)
    await engine.remove(spec.name)
    assert await world.volumes() == {spec.volume}
    await engine.create(spec)
    await engine.remove(spec.name)
    await engine.remove_volume(spec.volume)
    assert await world.volumes() == set()


async def test_a_volume_in_use_stays(world: World, engine: Engine) -> None:
    spec = bot_spec(world)
    await engine.create(spec)
    with pytest.raises(EngineError, match="in use"):
        await engine.remove_volume(spec.volume)
    assert await world.volumes() == {spec.volume}


async def test_a_volume_of_somebody_else_is_neither_mounted_nor_removed(world: World, engine: Engine) -> None:
    spec = bot_spec(world)
    await engine.create(spec)
    await engine.remove(spec.name)
    stranger = world.engine(owner="b")
    with pytest.raises(NameTaken, match="volume"):
        await stranger.create(spec)
    await stranger.remove_volume(spec.volume)
    assert await world.volumes() == {spec.volume}


# --- logs -------------------------------------------------------------------------------------------------------------


async def test_the_last_lines_are_shown_as_plain_text(world: World, engine: Engine) -> None:
    output = b"\x1b[31mred\x1b[0m\r\nbell\x07\n\xff\xfe bytes\n" + "grüße\n".encode() + b"x" * 3000 + b"\n"
    spec = await world.say(engine, bot_spec(world), output)
    assert await engine.logs(spec.name, tail=100) == ["red", "bell", "\ufffd\ufffd bytes", "grüße", "x" * 1000, READY]
    assert await engine.logs(spec.name, tail=2) == ["x" * 1000, READY]


async def test_a_log_can_be_read_up_to_a_moment_and_after_the_end(world: World, engine: Engine) -> None:
    before = datetime.now(UTC)
    spec = await world.say(engine, bot_spec(world), b"hello\n")
    await world.crash(spec.name)
    await exited(engine, spec.name)
    assert await engine.logs(spec.name, tail=10, until=before) == []
    assert await engine.logs(spec.name, tail=10, until=datetime.now(UTC)) == ["hello", READY]


# --- the network ------------------------------------------------------------------------------------------------------


async def test_a_network_is_made_once_however_often_it_is_asked_for(world: World) -> None:
    first, second = world.engine(), world.engine()
    name = f"{world.tag}-many"
    await asyncio.gather(*(engine.ensure_network(name) for engine in [first, second] * 4))
    await first.ensure_network(name)
    assert await world.network_count(name) == 1


async def test_a_network_of_somebody_else_is_not_used(world: World) -> None:
    name = f"{world.tag}-foreign-net"
    await world.add_foreign_network(name)
    with pytest.raises(NameTaken, match=name):
        await world.engine().ensure_network(name)


async def test_a_network_of_another_server_is_not_used(world: World, engine: Engine) -> None:
    with pytest.raises(NameTaken, match=f"{world.tag}-net"):
        await world.engine(server="server2").ensure_network(f"{world.tag}-net")


async def test_a_network_removed_by_hand_is_missed_and_made_again(world: World, engine: Engine) -> None:
    spec = bot_spec(world)
    await engine.create(spec)
    await world.remove_network(spec.network)
    with pytest.raises(NetworkMissing):
        await engine.start(spec.name)
    await engine.ensure_network(spec.network)
    await engine.start(spec.name)
    assert await state_of(engine, spec.name) is ContainerState.RUNNING


# --- events -----------------------------------------------------------------------------------------------------------


class Listener:
    """Reads an engine's events into a list."""

    def __init__(self, engine: Engine) -> None:
        self.seen: list[EngineEvent] = []
        self._task = asyncio.create_task(self._read(engine.events()))

    async def _read(self, events: AsyncIterator[EngineEvent]) -> None:
        async for event in events:
            self.seen.append(event)

    def count(self, kind: EngineEventKind) -> int:
        return sum(event.kind is kind for event in self.seen)

    async def hears(self, kind: EngineEventKind, *, times: int = 1) -> None:
        async def condition() -> bool:
            return self.count(kind) >= times

        await until(condition, f"{kind} is heard {times} times; heard {self.seen}")

    async def ended(self) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self._task

    async def stop(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


@pytest.fixture
async def listener(engine: Engine) -> AsyncIterator[Listener]:
    """Somebody who listens, and whose stream stands."""
    listener = Listener(engine)
    await listener.hears(EngineEventKind.CONNECTED)
    yield listener
    await listener.stop()


async def test_what_happens_to_our_containers_is_heard(world: World, engine: Engine, listener: Listener) -> None:
    spec = await world.say(engine, bot_spec(world), b"")
    await listener.hears(EngineEventKind.START)
    await world.run_out_of_memory(spec.name)
    await listener.hears(EngineEventKind.OOM)
    await listener.hears(EngineEventKind.DIE)
    await world.remove_by_hand(spec.name)
    await listener.hears(EngineEventKind.DESTROY)

    about_it = [event for event in listener.seen if event.kind is not EngineEventKind.CONNECTED]
    assert {event.bot_id for event in about_it} == {"bot-1"}
    assert len({event.container_id for event in about_it}) == 1


async def test_what_happens_to_others_is_not_heard(world: World, engine: Engine, listener: Listener) -> None:
    other = world.engine(owner="b")
    await world.say(other, bot_spec(world, "theirs"), b"")
    await world.add_foreign(f"{world.tag}-foreign", {})
    await world.say(engine, bot_spec(world, "ours"), b"")
    await listener.hears(EngineEventKind.START)
    assert {event.bot_id for event in listener.seen} == {None, "ours"}


async def test_a_broken_stream_stands_again_and_says_so(world: World, engine: Engine, listener: Listener) -> None:
    await world.break_streams()
    await listener.hears(EngineEventKind.CONNECTED, times=2)
    await world.say(engine, bot_spec(world), b"")
    await listener.hears(EngineEventKind.START)


async def test_an_engine_that_goes_away_is_told_from_a_fault_and_comes_back(
    world: World, engine: Engine, listener: Listener
) -> None:
    spec = await world.say(engine, bot_spec(world), b"")
    await engine.ping()
    await world.set_unavailable(True)
    for call in (
        engine.ping(),
        engine.list_containers(),
        engine.inspect(spec.name),
        engine.create(bot_spec(world, "bot-2")),
        engine.start(spec.name),
        engine.kill(spec.name, "SIGKILL"),
        engine.remove(spec.name),
        engine.logs(spec.name, tail=1),
        engine.ensure_network(spec.network),
    ):
        with pytest.raises(EngineUnavailable):
            await call
    await world.set_unavailable(False)
    await engine.ping()
    assert await state_of(engine, spec.name) is ContainerState.RUNNING
    await listener.hears(EngineEventKind.CONNECTED, times=2)


async def test_a_listener_that_begins_while_the_engine_is_away_hears_it_come_back(world: World) -> None:
    await world.set_unavailable(True)
    listener = Listener(world.engine())
    await asyncio.sleep(0)
    assert listener.seen == []
    await world.set_unavailable(False)
    await listener.hears(EngineEventKind.CONNECTED)
    await listener.stop()


async def test_closing_the_engine_ends_its_streams(engine: Engine, listener: Listener) -> None:
    await engine.close()
    await listener.ended()


async def test_every_listener_hears_everything(world: World, engine: Engine, listener: Listener) -> None:
    second = Listener(engine)
    await second.hears(EngineEventKind.CONNECTED)
    await world.say(engine, bot_spec(world), b"")
    for each in (listener, second):
        await each.hears(EngineEventKind.START)
    await second.stop()
