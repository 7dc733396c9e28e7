"""Each arrival is recorded exactly once, whenever the process is killed.

A kill is simulated by a copy of the bot's directory in the middle of the work: what has been written by then is what a
SIGKILL leaves, and the next process starts with the copy.
"""

import asyncio
import errno
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from bot_runtime.contract import EventType
from bot_runtime.errors import is_damaged
from bot_runtime.inbound import arrivals as module
from bot_runtime.inbound.arrivals import AT_ONCE, TRIES, Arrivals
from bot_runtime.inbound.event_data import message_data
from bot_runtime.inbound.receiver import Receiver
from bot_runtime.inbound.recent import Recent
from bot_runtime.room import SPOOL_BYTES
from bot_runtime.storage.journal import FILE_BYTES, Journal, open_journal
from bot_runtime.storage.spool import HISTORY, Spool
from bot_runtime.storage.sqlite import mark_damaged, open_store
from bot_runtime.whatsapp.event_codes import MESSAGE
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import Arrival, Content, Incoming, Kind

ADA = Address("1", "s.whatsapp.net")
NOW = datetime.now(UTC)
SMALL = 100
"""Bytes of a journal file: a few arrivals, so that the files change during a test."""


@pytest.fixture(autouse=True)
def plain_arrivals(monkeypatch: pytest.MonkeyPatch) -> None:
    """The payload of an arrival is the id of a message."""

    def read(code: int, payload: bytes) -> Arrival | None:
        assert code == MESSAGE
        return incoming(payload.decode())

    monkeypatch.setattr(module, "read", read)


def incoming(message_id: str) -> Incoming:
    """A text whose content is its id."""
    return Incoming(
        id=message_id,
        chat=ADA,
        sender=ADA,
        sender_number="1",
        from_me=False,
        is_group=False,
        timestamp=NOW,
        push_name="Ada",
        content=Content(kind=Kind.TEXT, text=message_id),
    )


class Process:
    """The part of a runtime that records arrivals."""

    def __init__(self, directory: Path, *, file_bytes: int = SMALL) -> None:
        self.store = open_store(directory / "runtime.db")
        found = open_journal(directory / "arrivals", self.store)
        self.journal = Journal(directory / "arrivals", found.start, file_bytes=file_bytes)
        self.spool = Spool(self.store)
        self.receiver = Receiver(
            self.spool,
            Recent(self.store),
            (),
            group_changed=lambda _: None,
            group_seen=lambda _: None,
            details=lambda _: {},
            keep_media=lambda *_, **__: None,
            keep_files=lambda: False,
            paired_at=lambda: None,
        )
        self.take: Callable[[Arrival], None] = self.receiver.take
        self.finish = self.receiver.finish
        self.failures: list[Exception] = []
        self.arrivals = Arrivals(self.journal, self.store, self.spool, self, failed=self.failures.append)

    def append(self, *ids: str) -> None:
        for message in ids:
            self.journal.append(MESSAGE, message.encode())

    async def drain_all(self) -> None:
        """Record everything that is in the journal, however much."""
        self.arrivals.take_in()
        while self.journal.read(self.arrivals.position, 1)[0]:  # noqa: ASYNC110 - the loop has to turn
            await asyncio.sleep(0)

    async def drain(self) -> None:
        """Record everything, as the event loop does."""
        asyncio.get_running_loop().call_soon(self.arrivals.take_in)
        for _ in range(200):  # more iterations of the loop than any test here needs
            await asyncio.sleep(0)

    def recorded(self) -> list[str]:
        """The ids of the recorded messages, in order."""
        return [
            event.data["messages"][0]["id"] for event in self.spool.history if event.type is EventType.MESSAGE_UPSERT
        ]

    def errors(self) -> list[Any]:
        return [event.data["code"] for event in self.spool.history if event.type is EventType.ERROR]

    def close(self) -> None:
        self.arrivals.close()
        self.store.close()


@contextmanager
def process(directory: Path, *, file_bytes: int = SMALL) -> Iterator[Process]:
    running = Process(directory, file_bytes=file_bytes)
    try:
        yield running
    finally:
        running.close()


class Killer:
    """Copies the directory before every statement for the store and around every change of the journal's files."""

    def __init__(self, directory: Path, copies: Path, running: Process, monkeypatch: pytest.MonkeyPatch) -> None:
        self._directory, self._copies = directory, copies
        self.kills: list[tuple[Path, int]] = []
        """Each copy, with the number of messages that are certainly in its journal."""
        self.appended = 0
        running.store.set_trace_callback(lambda _: self.kill())
        for owner, name in ((os, "write"), (os, "open"), (Path, "unlink")):
            monkeypatch.setattr(owner, name, self._around(getattr(owner, name)))

    def kill(self) -> None:
        copy = self._copies / str(len(self.kills))
        shutil.copytree(self._directory, copy)
        self.kills.append((copy, self.appended))

    def _around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **more: Any) -> Any:
            self.kill()
            result = call(*arguments, **more)
            self.kill()
            return result

        return watched


async def killed_at_every_step(
    directory: Path, copies: Path, monkeypatch: pytest.MonkeyPatch, before: list[str], sent: list[str]
) -> list[tuple[Path, list[str], list[str]]]:
    """Send messages; returns each copy with the messages that must be in it and those that may be."""
    with process(directory) as running, monkeypatch.context() as patched:
        killer = Killer(directory, copies, running, patched)
        for number, message in enumerate(sent):
            running.append(message)
            killer.appended += 1
            if number % 3:
                await running.drain()
        killer.kill()
    return [(copy, before + sent[:count], before + sent[: count + 1]) for copy, count in killer.kills]


async def test_a_kill_at_any_step_neither_loses_nor_duplicates_arrivals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = [f"message-{number}" for number in range(12)]
    directory = tmp_path / "bot"
    directory.mkdir()
    kills = await killed_at_every_step(directory, tmp_path / "kills", monkeypatch, [], sent)
    assert len(kills) > 80
    for directory, surely, perhaps in kills:
        with process(directory) as again:
            await again.drain()
            assert again.recorded() in (surely, perhaps)
            known = again.recorded()
            again.append("next")
            await again.drain()
            assert again.recorded() == [*known, "next"]


async def test_a_kill_while_catching_up_neither_loses_nor_duplicates_arrivals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = [f"message-{number}" for number in range(6)]
    directory = tmp_path / "bot"
    directory.mkdir()
    first = await killed_at_every_step(directory, tmp_path / "kills", monkeypatch, [], sent)
    for number, (directory, surely, perhaps) in enumerate(random.Random(1).sample(first, 8)):
        copies = tmp_path / f"again-{number}"
        for copy, *_ in await killed_at_every_step(directory, copies, monkeypatch, [], ["next"]):
            with process(copy) as third:
                await third.drain()
                assert [name for name in third.recorded() if name != "next"] in (surely, perhaps)
                assert third.recorded().count("next") <= 1


async def test_many_arrivals_are_recorded_together_and_in_order(tmp_path: Path) -> None:
    with process(tmp_path) as running:
        sent = [str(number) for number in range(2 * AT_ONCE + 1)]
        running.append(*sent)
        statements: list[str] = []
        running.store.set_trace_callback(statements.append)
        await running.drain()
        running.store.set_trace_callback(None)
        assert running.recorded() == sent
        assert statements.count("COMMIT") < len(sent)


async def test_an_arrival_that_cannot_be_handled_does_not_block_the_others(tmp_path: Path) -> None:
    with process(tmp_path) as running:

        def take(arrival: Arrival) -> None:
            assert isinstance(arrival, Incoming)
            if arrival.id == "bad":
                raise ValueError
            running.receiver.take(arrival)

        running.take = take
        running.append("one", "bad", "two")
        await running.drain()
        assert running.recorded() == ["one", "two"]


async def test_a_poison_message_is_finally_skipped_and_no_other_arrival_with_it(tmp_path: Path) -> None:
    class DeathError(BaseException):
        pass

    deaths = 0

    def die(arrival: Arrival) -> None:
        nonlocal deaths
        assert isinstance(arrival, Incoming)
        if arrival.id == "deadly":
            deaths += 1
            raise DeathError
        running.receiver.take(arrival)

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    with process(tmp_path) as running:
        running.append("one", "two", "deadly", "three")
    for _ in range(TRIES + 2):
        with process(tmp_path) as running:
            running.take = die
            await running.drain()
    assert running.recorded() == ["one", "two", "three"]
    assert running.errors() == ["poison-message"]
    assert deaths == TRIES + 1  # once after the arrivals before it


def fill(running: Process) -> None:
    """From now on the store cannot grow."""
    (pages,) = running.store.execute("PRAGMA page_count").fetchone()
    running.store.execute(f"PRAGMA max_page_count = {pages}")


def make_room(running: Process) -> None:
    running.store.execute("PRAGMA max_page_count = 1000000")


async def test_on_a_full_disk_arrivals_stay_in_the_journal_until_there_is_room(tmp_path: Path) -> None:
    with process(tmp_path) as running:
        running.append("one")
        await running.drain()
        fill(running)
        waiting = [f"{number}-{'x' * 200}" for number in range(100)]
        running.append(*waiting)
        await running.drain()
        assert running.failures
        stored = running.recorded()
        assert stored == ["one", *waiting][: len(stored)]
        assert len(stored) == running.receiver.received < 101, "none is handled before it is stored"
        make_room(running)
        await running.drain()
        assert len(running.recorded()) == HISTORY
        assert running.recorded()[-1] == waiting[-1]
        assert running.spool.cursor().last_seq == running.receiver.received == 101
        assert running.spool.cursor().dropped == 0


async def test_a_kill_on_a_full_disk_loses_and_duplicates_nothing(tmp_path: Path) -> None:
    waiting = [f"{number}-{'x' * 200}" for number in range(60)]
    with process(tmp_path) as running:
        fill(running)
        running.append(*waiting)
        await running.drain()
        assert running.failures
    with process(tmp_path) as again:
        await again.drain()
        assert again.recorded() == waiting


async def test_a_full_disk_does_not_make_an_arrival_a_poison_message(tmp_path: Path) -> None:
    long = "x" * 5000  # more than a free page holds
    with process(tmp_path) as running:
        running.append(long)
    with process(tmp_path) as again:
        fill(again)
        for _ in range(TRIES + 2):
            await again.drain()
        assert again.failures
        make_room(again)
        await again.drain()
        assert (again.recorded(), again.errors()) == ([long], [])


async def test_a_logout_on_a_full_disk_keeps_the_journal(tmp_path: Path) -> None:
    waiting = [f"{number}-{'x' * 200}" for number in range(60)]
    with process(tmp_path) as running:
        fill(running)
        running.append(*waiting)
        running.arrivals.take_all()
        make_room(running)
        await running.drain()
        assert running.recorded() == waiting


async def test_arrivals_that_the_journal_cannot_take_are_recorded_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "full")

    with process(tmp_path) as running:
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", full)
            running.append("one", "two")
            await running.drain()
            assert (bool(running.failures), running.recorded()) == (True, [])
        running.journal.flush()
        running.append("three")
        await running.drain()
        assert running.recorded() == ["one", "two", "three"]


async def test_a_logout_empties_the_journal(tmp_path: Path) -> None:
    with process(tmp_path) as running:
        running.append("one", "two")
        running.arrivals.take_all()
        assert running.recorded() == ["one", "two"]
        assert list((tmp_path / "arrivals").iterdir()) == []
        running.append("three")
        await running.drain()
        assert running.recorded() == ["one", "two", "three"]


async def test_arrivals_after_close_are_left_to_the_next_process(tmp_path: Path) -> None:
    with process(tmp_path) as running:
        running.arrivals.close()
        running.append("one")
        await running.drain()
        assert running.recorded() == []
    with process(tmp_path) as again:
        await again.drain()
        assert again.recorded() == ["one"]


async def test_two_hours_of_messages_without_the_orchestrator_are_all_stored(tmp_path: Path) -> None:
    sent = [f"{number}" for number in range(2 * 60 * 60 * 10)]
    template = message_data(incoming("template"))["messages"][0]

    def take(arrival: Arrival) -> None:  # the rest of the receiver would take most of the time
        assert isinstance(arrival, Incoming)
        data = {"messages": [{**template, "id": arrival.id, "text": "x" * 100}], "type": "notify"}
        running.spool.append(EventType.MESSAGE_UPSERT, data)

    with process(tmp_path, file_bytes=FILE_BYTES) as running:
        running.take = take
        for first in range(0, len(sent), 3600):
            running.append(*sent[first : first + 3600])
            for number in range(550):
                running.spool.append(EventType.PRESENCE_UPDATE, {"id": f"{number}@lid", "presence": "composing"})
            await running.drain_all()
        assert running.spool.waiting_bytes < SPOOL_BYTES, "the bot stays connected"
        received: list[str] = []
        after = 0
        spool_id = running.spool.spool_id
        while (page := await running.spool.page(spool_id=spool_id, after=after, limit=500, wait_seconds=0)).items:
            received += [
                event.data["messages"][0]["id"] for event in page.items if event.type is EventType.MESSAGE_UPSERT
            ]
            after = page.next
        assert received == sent
        assert running.spool.cursor().dropped > 0


async def test_what_a_damaged_store_cannot_record_is_recorded_in_the_next_one(tmp_path: Path) -> None:
    raised: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context["exception"]))
    with process(tmp_path) as running:
        running.append("one")
        await running.drain()
        page = running.store.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'").fetchone()[0]
    with (tmp_path / "runtime.db").open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    store = open_store(tmp_path / "runtime.db")
    journal = open_journal(tmp_path / "arrivals", store)

    class FailingTaker:
        def take(self, _: Arrival) -> None:
            store.execute("SELECT * FROM events").fetchall()

        def finish(self, *, committed: bool) -> None:
            raise AssertionError(committed)

    spool = cast("Spool", None)  # what needs the table cannot even be opened
    arrivals = Arrivals(journal, store, spool, FailingTaker(), failed=raised.append)
    journal.append(MESSAGE, b"two")
    asyncio.get_running_loop().call_soon(arrivals.take_in)
    await asyncio.sleep(0)
    assert is_damaged(raised[0])
    store.close()

    mark_damaged(tmp_path / "runtime.db")
    for _ in range(2):
        with process(tmp_path) as again:
            await again.drain()
            assert again.recorded() == ["two"]
    assert (tmp_path / "runtime.damaged").exists()
