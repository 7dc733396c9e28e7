"""A bot whose volume holds more than it may is stopped, whatever its runtime reports, and only that one."""

import asyncio
from typing import cast

import pytest

from orchestrator.engine.base import ContainerState, Engine, EngineError
from orchestrator.reconcile.bot_state import BotStates
from orchestrator.reconcile.volume_usage import MAX_INTERVAL_SECONDS, PAUSE_PER_SECOND, VolumeUsage
from tests.support.names import resource_name
from tests.unit.reconcile.doubles import SERVER, World, settings

BOT, OTHER = "bot-1", "bot-2"
NAME = resource_name(SERVER, BOT)
MAX = 64 << 20


@pytest.fixture
async def world() -> World:
    """Two bots that are online."""
    world = World(volume_max_mb=64)
    world.rows.insert(BOT)
    world.rows.insert(OTHER)
    await look(world)
    assert world.phase(BOT)[0] == world.phase(OTHER)[0] == "online"
    return world


async def look(world: World) -> None:
    """A sweep with a measurement, and time for its consequences."""
    await world.controller.sweep()
    for bot in (BOT, OTHER):
        await world.run(bot, 60)


async def fill(world: World, size: int = MAX + 1) -> None:
    world.host.volume_sizes[NAME] = size
    await look(world)


async def test_a_bot_that_stores_too_much_is_stopped_with_an_event(world: World) -> None:
    await fill(world, MAX)
    assert world.phase(BOT)[0] == "online", "that much it may store"
    await fill(world)
    assert world.phase(BOT) == ("skipped", "volume-limit")
    assert "64 MiB" in world.rows.status[BOT].message
    assert world.host.containers[NAME].state is ContainerState.EXITED
    events = [event for bot, event in world.rows.events if bot == BOT and event.type == "volume-limit"]
    assert [event.data for event in events] == [{"bytes": MAX + 1, "maxBytes": MAX}]
    assert world.phase(OTHER)[0] == "online"
    assert NAME in world.host.volumes, "its session is not deleted"


async def test_it_stays_stopped_until_the_volume_holds_less(world: World) -> None:
    await fill(world)
    starts = world.host.containers[NAME].starts
    world.rows.update(BOT, restart_generation=1)
    await look(world)
    world.new_controller()
    await world.controller.work(BOT)
    assert world.phase(BOT) == ("skipped", "volume-limit"), "also before the new leader has measured"
    await look(world)
    assert world.phase(BOT) == ("skipped", "volume-limit")
    assert world.host.containers[NAME].starts == starts
    await fill(world, MAX)
    assert world.phase(BOT)[0] == "online"


async def test_a_higher_limit_starts_it_again(world: World) -> None:
    await fill(world)
    world.new_controller(volume_max_mb=65)
    await look(world)
    assert world.phase(BOT)[0] == "online"


async def test_a_new_session_starts_it_again(world: World) -> None:
    await fill(world)
    world.rows.update(BOT, restart_generation=1, session_generation=1)
    await look(world)
    assert world.phase(BOT)[0] == "online"
    assert world.event_types(BOT).count("volume-limit") == 1


async def test_it_can_be_stopped_and_deleted(world: World) -> None:
    await fill(world)
    world.rows.update(BOT, desired_state="stopped")
    await look(world)
    assert world.phase(BOT)[0] == "stopped"
    world.rows.update(BOT, deleting=True)
    await world.run(BOT, 60)
    assert BOT not in world.rows.bots
    assert NAME not in world.host.volumes


async def test_one_that_ignores_the_request_to_stop_is_killed(world: World) -> None:
    world.host.containers[NAME].ignores_sigterm = True
    await fill(world)
    assert world.phase(BOT) == ("skipped", "volume-limit")
    assert world.host.containers[NAME].state is ContainerState.EXITED


async def test_a_measurement_that_began_before_a_new_session_says_nothing_about_it(world: World) -> None:
    world.host.volume_sizes[NAME] = MAX + 1
    states = world.controller.states
    engine = cast("Engine", SlowEngine())
    usage = VolumeUsage(engine=engine, states=states, settings=world.controller.settings, wake=lambda _: None)
    measuring = asyncio.create_task(usage.measure())
    await asyncio.sleep(0)
    world.rows.update(BOT, restart_generation=1, session_generation=1)
    await world.run(BOT, 60)
    cast("SlowEngine", engine).measured.set()
    await measuring
    assert states.by_id[BOT].volume_bytes == 0


class SlowEngine:
    """Returns what it measured before, once `measured` is set."""

    def __init__(self) -> None:
        self.measured = asyncio.Event()

    async def volume_sizes(self) -> dict[str, int]:
        await self.measured.wait()
        return {NAME: MAX + 1}


class Loop:
    """Lets `VolumeUsage.run` measure three times, with a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, takes_seconds: float) -> None:
        self._takes_seconds = takes_seconds
        self._now = 0.0
        self.pauses: list[float] = []
        monkeypatch.setattr("orchestrator.reconcile.volume_usage.asyncio", self)

    def get_running_loop(self) -> "Loop":
        return self

    def time(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if len(self.pauses) == 3:
            raise asyncio.CancelledError

    async def volume_sizes(self) -> dict[str, int]:
        self._now += self._takes_seconds
        raise EngineError("no sizes")


@pytest.mark.parametrize(("takes", "pause"), [(0.01, MAX_INTERVAL_SECONDS), (30.0, 30.0 * PAUSE_PER_SECOND)])
async def test_the_engine_spends_a_small_part_of_its_time_on_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, takes: float, pause: float
) -> None:
    loop = Loop(monkeypatch, takes_seconds=takes)
    usage = VolumeUsage(engine=cast("Engine", loop), states=BotStates(), settings=settings(), wake=lambda _: None)
    with pytest.raises(asyncio.CancelledError):
        await usage.run()
    assert loop.pauses == [pytest.approx(pause)] * 3
    assert caplog.text.count("no sizes") == 1
