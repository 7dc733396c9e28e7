"""What tests can play on the engine in memory."""

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.engine.base import (
    ContainerSpec,
    ContainerState,
    DiskFullError,
    EngineEvent,
    EngineEventKind,
    EngineUnavailableError,
    ImageMissingError,
    Label,
)
from orchestrator.engine.memory.engine import MemoryEngine
from orchestrator.engine.memory.host import MemoryHost

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SPEC = ContainerSpec(
    name="box",
    image="bot:1",
    network="bots",
    volume="box",
    env={},
    labels={Label.BOT_ID: "b"},
    memory_bytes=256 << 20,
    cpus=0.5,
    pids=64,
)


@pytest.fixture
async def engine() -> MemoryEngine:
    engine = MemoryEngine(owner="us", server="s", host=MemoryHost(clock=lambda: NOON))
    await engine.ensure_network("bots")
    return engine


async def run(engine: MemoryEngine) -> None:
    await engine.create(SPEC)
    await engine.start("box")


async def test_timestamps_come_from_the_clock(engine: MemoryEngine) -> None:
    await run(engine)
    engine.host.clock = lambda: NOON + timedelta(hours=1)
    engine.host.crash("box", 1)
    seen = await engine.inspect("box")
    assert seen is not None
    assert (seen.started_at, seen.finished_at) == (NOON, NOON + timedelta(hours=1))


async def test_a_call_can_fail_without_effect(engine: MemoryEngine) -> None:
    engine.host.fail_next("create", ImageMissingError("gone"))
    with pytest.raises(ImageMissingError, match="gone"):
        await engine.create(SPEC)
    assert engine.host.containers == {}
    await engine.create(SPEC)


async def test_a_call_can_fail_after_taking_effect(engine: MemoryEngine) -> None:
    engine.host.fail_next("create", EngineUnavailableError("the answer got lost"), done=True)
    with pytest.raises(EngineUnavailableError):
        await engine.create(SPEC)
    assert set(engine.host.containers) == {"box"}


async def test_failures_occur_in_their_order(engine: MemoryEngine) -> None:
    engine.host.fail_next("ping", EngineUnavailableError("first"))
    engine.host.fail_next("ping", EngineUnavailableError("second"))
    for message in ("first", "second"):
        with pytest.raises(EngineUnavailableError, match=message):
            await engine.ping()
    await engine.ping()
    assert engine.host.calls["ping"] == 3


async def test_a_full_disk_prevents_creating_and_starting(engine: MemoryEngine) -> None:
    await engine.create(SPEC)
    engine.host.disk_full = True
    with pytest.raises(DiskFullError):
        await engine.start("box")
    await engine.remove("box")
    with pytest.raises(DiskFullError):
        await engine.create(SPEC)


async def test_a_container_can_ignore_sigterm(engine: MemoryEngine) -> None:
    await run(engine)
    engine.host.containers["box"].ignores_sigterm = True
    await engine.kill("box", "SIGTERM")
    assert engine.host.containers["box"].state is ContainerState.RUNNING
    await engine.kill("box", "SIGKILL")
    assert engine.host.containers["box"].exit_code == 137


async def test_events_can_get_lost(engine: MemoryEngine) -> None:
    events = engine.events()
    assert (await anext(events)).kind is EngineEventKind.CONNECTED
    engine.host.hints_lost = True
    await run(engine)
    engine.host.hints_lost = False
    engine.host.crash("box", 1)
    heard = await anext(events)
    assert heard == EngineEvent(EngineEventKind.DIE, "b", engine.host.containers["box"].id)


async def test_starting_again_is_counted_and_resets_the_exit(engine: MemoryEngine) -> None:
    await run(engine)
    engine.host.crash("box", 137, oom=True)
    await engine.start("box")
    seen = await engine.inspect("box")
    assert seen is not None
    assert (seen.exit_code, seen.oom_killed, engine.host.containers["box"].starts) == (None, False, 2)
