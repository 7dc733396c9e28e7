"""What `Engine` promises about single containers, held against the Docker engine and the one in memory."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from orchestrator.engine.base import (
    ContainerNotFoundError,
    ContainerState,
    Engine,
    ImageMissingError,
    InvalidSpecError,
    Label,
    NameTakenError,
)
from tests.integration.engine.worlds import CRASH_EXIT_CODE, MemoryWorld, World, bot_spec, exited, state_of, until


async def test_a_container_is_created_started_stopped_started_again_and_removed(world: World, engine: Engine) -> None:
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


async def test_a_crash_has_an_exit_code(world: World, engine: Engine) -> None:
    spec = await world.say(engine, bot_spec(world), b"")
    await world.crash(spec.name)
    await exited(engine, spec.name)
    ended = await engine.inspect(spec.name)
    assert ended is not None
    assert (ended.exit_code, ended.oom_killed) == (CRASH_EXIT_CODE, False)


async def test_running_out_of_memory_is_distinguished_from_a_crash(world: World, engine: Engine) -> None:
    spec = await world.say(engine, bot_spec(world), b"")
    await world.run_out_of_memory(spec.name)
    await exited(engine, spec.name)

    async def flagged() -> bool:
        container = await engine.inspect(spec.name)
        return container is not None and container.oom_killed and container.exit_code == 137

    await until(flagged, "the container is marked as killed for its memory")


async def test_starting_killing_and_removing_are_idempotent(world: World, engine: Engine) -> None:
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
async def test_a_paused_container_can_be_stopped(world: World, engine: Engine, signal: str) -> None:
    spec = await world.say(engine, bot_spec(world), b"")
    await world.pause(spec.name)
    frozen = await engine.inspect(spec.name)
    assert frozen is not None
    assert frozen.state is ContainerState.PAUSED
    assert frozen.up
    await engine.kill(spec.name, signal)
    await exited(engine, spec.name)


async def test_a_missing_container_is_not_found(world: World, engine: Engine) -> None:
    name = f"{world.tag}-nobody"
    assert await engine.inspect(name) is None
    for call in (engine.start(name), engine.kill(name, "SIGTERM"), engine.logs(name, tail=5)):
        with pytest.raises(ContainerNotFoundError):
            await call
    await engine.remove(name)
    await engine.remove_volume(name)


async def test_a_second_container_with_the_same_name_is_rejected(world: World, engine: Engine) -> None:
    spec = bot_spec(world)
    answers = await asyncio.gather(*(engine.create(spec) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(answer, str) for answer in answers) == 1
    assert sum(isinstance(answer, NameTakenError) for answer in answers) == 3


async def test_a_foreign_container_with_our_name_is_found_and_left_alone(world: World, engine: Engine) -> None:
    spec = bot_spec(world)
    await world.add_foreign(spec.name, {"made-by": "somebody else"})
    with pytest.raises(NameTakenError, match=spec.name):
        await engine.create(spec)
    foreign = await engine.inspect(spec.name)
    assert foreign is not None
    assert foreign.state is ContainerState.RUNNING
    assert foreign.labels["made-by"] == "somebody else"
    assert Label.OWNER not in foreign.labels
    assert await engine.list_containers() == []


async def test_a_missing_image_is_reported(world: World, engine: Engine) -> None:
    spec = replace(bot_spec(world), image="engine-test/there-is-no-such-image:0")
    if isinstance(world, MemoryWorld):
        world.host.missing_images.add(spec.image)
    with pytest.raises(ImageMissingError, match="there-is-no-such-image"):
        await engine.create(spec)
    assert await engine.inspect(spec.name) is None


async def test_invalid_options_are_rejected(world: World, engine: Engine) -> None:
    with pytest.raises(InvalidSpecError, match="memory"):
        await engine.create(replace(bot_spec(world), memory_bytes=1000))
