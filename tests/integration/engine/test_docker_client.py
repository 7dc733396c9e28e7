"""How calls reach Docker: connections, closing, an engine that is not there."""

import asyncio
import threading
from functools import partial
from pathlib import Path

import pytest

from orchestrator.db.fence import LeadershipLostError
from orchestrator.engine.base import ContainerState, ContainerStuckError, EngineUnavailableError, WrongEngineError
from orchestrator.engine.docker import engine as docker_engine
from orchestrator.engine.docker import slots
from orchestrator.engine.docker.client import DockerClients
from orchestrator.engine.docker.engine import DockerEngine
from tests.integration.engine.worlds import DockerWorld, bot_spec, state_of, until


async def test_a_missing_engine_is_reported_in_one_sentence(tmp_path: Path) -> None:
    engine = DockerEngine(owner="a", server="s", host=f"unix://{tmp_path}/nothing.sock")
    with pytest.raises(EngineUnavailableError) as told:
        await engine.ping()
    expected = f"the Docker engine at unix://{tmp_path}/nothing.sock is unavailable (no such file or directory)"
    assert str(told.value) == f"cannot reach the engine: {expected}"
    await engine.close()


@pytest.mark.docker
async def test_calls_waiting_for_a_thread_fail_when_the_engine_is_closed(docker_world: DockerWorld) -> None:
    engine = docker_world.engine()
    calls = [asyncio.create_task(engine.list_containers()) for _ in range(200)]
    await asyncio.sleep(0)
    await engine.close()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    refused = [answer for answer in answers if answer != []]
    assert refused
    assert all(isinstance(answer, EngineUnavailableError) for answer in refused)
    with pytest.raises(EngineUnavailableError, match="is closed"):
        await engine.ping()


@pytest.mark.docker
async def test_a_read_is_retried_on_a_broken_connection(docker_world: DockerWorld) -> None:
    engine = docker_world.engine()
    spec = bot_spec(docker_world)
    await engine.create(spec)
    for _ in range(5):
        await docker_world.break_streams()
        states = await asyncio.gather(*(state_of(engine, spec.name) for _ in range(16)))
        assert set(states) == {ContainerState.CREATED}


@pytest.mark.docker
async def test_a_call_that_was_held_up_changes_nothing_once_its_leadership_has_ended(docker_world: DockerWorld) -> None:
    engine = docker_world.engine()
    spec = bot_spec(docker_world)
    await engine.create(spec)
    await engine.remove(spec.name)
    leading, inspected, resume = threading.Event(), threading.Event(), threading.Event()
    leading.set()

    def check() -> None:
        if not leading.is_set():
            raise LeadershipLostError("the lease has expired")

    def hold_up(*_: object, **__: object) -> bool:
        inspected.set()
        return resume.wait(30)

    engine.guard(check)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DockerEngine, "_is_ours", hold_up)
        removal = asyncio.create_task(engine.remove_volume(spec.volume))
        await asyncio.to_thread(inspected.wait, 30)
        leading.clear()
        engine.guard(lambda: None)  # the same process leads again
        resume.set()
        with pytest.raises(LeadershipLostError):
            await removal
    assert spec.volume in await docker_world.volumes()
    await engine.remove_volume(spec.volume)
    assert spec.volume not in await docker_world.volumes()


@pytest.mark.docker
async def test_over_the_network_only_the_bound_engine_is_used_too(docker_world: DockerWorld) -> None:
    engine = await docker_world.network_engine()
    identity = await engine.identity()
    engine.bind(identity)
    assert await engine.list_containers() == []
    # The next connection reaches an engine with another id.
    engine.bind("another")
    await docker_world.break_streams()
    for call in (engine.list_containers, lambda: engine.create(bot_spec(docker_world))):
        with pytest.raises(WrongEngineError, match=identity):
            await call()
    assert await docker_world.volumes() == set()


@pytest.mark.docker
async def test_containers_for_which_the_engine_hangs_hold_up_no_others(
    docker_world: DockerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "HELD_UP_SECONDS", 0.05)
    monkeypatch.setattr(docker_engine, "DockerClients", partial(DockerClients, timeout_seconds=3.0))
    engine = docker_world.engine()
    specs = [bot_spec(docker_world, f"bot-{number}") for number in range(12)]
    for spec in specs[:2]:
        await engine.create(spec)
    hanging = [spec.name for spec in specs[1:]]
    docker_world.proxy.hanging.update(hanging)
    calls = [asyncio.create_task(engine.inspect(name)) for name in hanging]

    async def all_hang() -> bool:
        return docker_world.proxy.held == len(hanging)

    await until(all_hang, "more calls hang than there are slots")
    assert len(await engine.list_containers()) == 2
    await engine.remove(specs[0].name)
    assert await state_of(engine, specs[0].name) is None
    assert not any(call.done() for call in calls)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {ContainerStuckError}

    docker_world.proxy.hanging.clear()
    with pytest.raises(ContainerStuckError, match=f"cannot remove container {hanging[0]}: "):
        await engine.remove(hanging[0])
    assert docker_world.proxy.held == len(hanging), "it is not asked again at once"
    monkeypatch.setattr(slots, "PAUSE_SECONDS", 0.0)
    assert await state_of(engine, hanging[0]) is ContainerState.CREATED
    monkeypatch.undo()
    await engine.remove(hanging[0])
    assert await state_of(engine, hanging[0]) is None
