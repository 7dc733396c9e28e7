"""A bot that answers at once with nothing new is not asked in a tight loop."""

import asyncio
import itertools
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from bot_runtime.contract import Event, EventPage
from orchestrator.clients.bot import RuntimeClient
from orchestrator.clients.bot_answers import ReceivedPage
from orchestrator.clients.bot_errors import ProtocolViolationError
from orchestrator.reconcile.event_reader import EventReader
from orchestrator.reconcile.pace import Pace

REQUESTS = 60
Answer = ReceivedPage | Exception


class Endpoint:
    """Answers at once, so many times; then never."""

    def __init__(self, answers: Iterable[Answer]) -> None:
        self._answers = iter(answers)
        self.received_bytes = 0
        self.ended = asyncio.Event()

    async def events(self, **_: Any) -> ReceivedPage:
        answer = next(self._answers, None)
        if answer is None:
            self.ended.set()
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        return answer


class Sink:
    def __init__(self) -> None:
        self.stored: list[int] = []
        self.violations: list[str] = []

    async def take(self, page: EventPage) -> str:
        self.stored += [event.seq for event in page.items]
        return ""

    def violated(self, message: str) -> None:
        self.violations.append(message)


async def read(monkeypatch: pytest.MonkeyPatch, answers: Iterable[Answer]) -> tuple[list[float], Sink]:
    """How long the reader waited after each answer, without waiting; and what it passed on."""
    waits: list[float] = []
    pause = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await pause(0)

    monkeypatch.setattr("asyncio.sleep", sleep)
    sink, endpoint = Sink(), Endpoint(itertools.islice(answers, REQUESTS))
    reader = EventReader("bot-1", sink, spool="s", after=0, pace=Pace(), connection_changed=lambda: None)
    task = asyncio.create_task(reader.run(cast("RuntimeClient", endpoint)))
    await endpoint.ended.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return waits, sink


def page(spool: str, *numbers: int) -> ReceivedPage:
    now = datetime.now(UTC)
    items = [Event(seq=number, type="call", data={}, timestamp=now) for number in numbers]
    return ReceivedPage(spool_id=spool, items=items, next=numbers[-1] if numbers else 0)


def flawed(number: int) -> ReceivedPage:
    return ReceivedPage(spool_id="s", items=page("s", number).items, next=number, violation="too large")


def changing() -> Iterator[ReceivedPage]:
    return (page(f"s{number}", 1) for number in itertools.count())


@pytest.mark.parametrize(
    "answers",
    [
        itertools.repeat(page("s")),
        changing(),
        itertools.repeat(ProtocolViolationError("x")),
        itertools.cycle([page("a"), page("b")]),
        (flawed(number) for number in itertools.count(1)),
    ],
    ids=["empty pages", "changing spools", "violations", "two spools", "flawed events"],
)
async def test_nothing_new_is_requested_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch, answers: Iterable[Answer]
) -> None:
    waits, _ = await read(monkeypatch, answers)
    assert sum(waits) > REQUESTS * 5


async def test_an_ordinary_bot_is_asked_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    waits, sink = await read(monkeypatch, (page("s", number) for number in itertools.count(1)))
    assert waits == []
    assert sink.stored == list(range(1, REQUESTS + 1))
    assert sink.violations == []


async def test_a_flaw_of_one_event_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    _, sink = await read(monkeypatch, [flawed(1), page("s", 2)])
    assert sink.violations == ["too large"]
    assert sink.stored == [1, 2]
