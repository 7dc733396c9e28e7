"""How calls reach Docker: connections, closing, an engine that is not there."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.engine.base import ContainerState, EngineUnavailableError
from orchestrator.engine.docker.engine import DockerEngine
from tests.integration.engine.worlds import DockerWorld, bot_spec, state_of


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
    with pytest.raises(EngineUnavailableError, match="was closed"):
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
