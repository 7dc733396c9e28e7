"""Events wait for their reader, but not without bound."""

import asyncio

from orchestrator.engine.backlog import CONNECTED, Backlog
from orchestrator.engine.base import EngineEvent, EngineEventKind


def event(number: int) -> EngineEvent:
    return EngineEvent(kind=EngineEventKind.DIE, bot_id=f"bot-{number}")


async def read_all(backlog: Backlog, count: int) -> list[EngineEvent]:
    reader = backlog.read()
    return [await anext(reader) for _ in range(count)]


async def test_events_arrive_in_order() -> None:
    backlog = Backlog()
    for number in range(3):
        backlog.put(event(number))
    assert await read_all(backlog, 3) == [event(0), event(1), event(2)]


async def test_a_waiting_reader_is_woken() -> None:
    backlog = Backlog()
    waiting = asyncio.create_task(read_all(backlog, 1))
    await asyncio.sleep(0)
    backlog.put(event(1))
    assert await waiting == [event(1)]


async def test_a_slow_reader_has_to_list_instead() -> None:
    backlog = Backlog(limit=3)
    for number in range(4):
        backlog.put(event(number))
    assert await read_all(backlog, 2) == [CONNECTED, event(3)]


async def test_the_end_reaches_a_waiting_reader() -> None:
    backlog = Backlog()

    async def read() -> list[EngineEvent]:
        return [each async for each in backlog.read()]

    waiting = asyncio.create_task(read())
    await asyncio.sleep(0)
    backlog.end()
    assert await waiting == []
