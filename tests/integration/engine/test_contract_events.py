"""The contract of `Engine` on events, and on an engine that becomes unavailable and recovers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from orchestrator.engine.base import (
    ContainerState,
    Engine,
    EngineEvent,
    EngineEventKind,
    EngineUnavailableError,
)
from tests.integration.engine.worlds import DEADLINE_SECONDS, World, bot_spec, state_of, until


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
    """A listener whose stream is established."""
    listener = Listener(engine)
    await listener.hears(EngineEventKind.CONNECTED)
    yield listener
    await listener.stop()


async def test_events_of_our_containers_are_received(world: World, engine: Engine, listener: Listener) -> None:
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


async def test_events_of_other_containers_are_not_received(world: World, engine: Engine, listener: Listener) -> None:
    other = world.engine(owner="b")
    await world.say(other, bot_spec(world, "theirs"), b"")
    await world.add_foreign(f"{world.tag}-foreign", {})
    await world.say(engine, bot_spec(world, "ours"), b"")
    await listener.hears(EngineEventKind.START)
    assert {event.bot_id for event in listener.seen} == {None, "ours"}


async def test_a_broken_stream_is_re_established_and_reported(world: World, engine: Engine, listener: Listener) -> None:
    await world.break_streams()
    await listener.hears(EngineEventKind.CONNECTED, times=2)
    await world.say(engine, bot_spec(world), b"")
    await listener.hears(EngineEventKind.START)


async def test_an_unavailable_engine_is_distinguished_from_an_error_and_recovers(
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
        with pytest.raises(EngineUnavailableError):
            await call
    await world.set_unavailable(False)
    await engine.ping()
    assert await state_of(engine, spec.name) is ContainerState.RUNNING
    await listener.hears(EngineEventKind.CONNECTED, times=2)


async def test_a_listener_that_starts_while_the_engine_is_unavailable_sees_it_recover(world: World) -> None:
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


async def test_every_listener_receives_every_event(world: World, engine: Engine, listener: Listener) -> None:
    second = Listener(engine)
    await second.hears(EngineEventKind.CONNECTED)
    await world.say(engine, bot_spec(world), b"")
    for each in (listener, second):
        await each.hears(EngineEventKind.START)
    await second.stop()
