"""The pipeline of received messages: each once, sequential within a chat, concurrent across chats."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot_runtime.contract import EventType
from bot_runtime.inbound.queues import ChatQueues
from bot_runtime.inbound.receiver import MAX_AGE, Receiver
from bot_runtime.inbound.recent import Recent
from bot_runtime.inbound.seen import Seen
from bot_runtime.inbound.server_clock import ServerClock
from bot_runtime.storage.spool import Spool
from bot_runtime.storage.sqlite import transaction
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import (
    Arrival,
    BacklogUpdate,
    Call,
    Content,
    GroupChange,
    Incoming,
    Kind,
    Presence,
    ReceiptUpdate,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


def message(message_id: str = "A", chat: str = "1", text: str = "hello", **more: Any) -> Incoming:
    values = {
        "sender": Address(chat, "s.whatsapp.net"),
        "sender_number": chat,
        "from_me": False,
        "is_group": False,
        "timestamp": NOW,
        "push_name": "Ada",
        "content": Content(kind=Kind.TEXT, text=text),
    }
    return Incoming(id=message_id, chat=Address(chat, "s.whatsapp.net"), **{**values, **more})


async def until(condition: Callable[[], bool]) -> None:
    """Run the loop until the condition holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0)


class Noting:
    """A handler that records its messages, and may wait or fail."""

    name = "noting"

    def __init__(self, work: Callable[[Incoming], Awaitable[None]] | None = None) -> None:
        self.work = work
        self.handled: list[str] = []
        self.fresh: list[bool] = []

    def wants(self, _: Incoming, *, fresh: bool) -> bool:
        self.fresh.append(fresh)
        return True

    async def handle(self, message: Incoming) -> None:
        if self.work is not None:
            await self.work(message)
        self.handled.append(message.id)


class Setup:
    """A receiver whose clocks are stopped: `now` is the wall clock, `elapsed` the one that nobody sets."""

    def __init__(self, store: sqlite3.Connection, *handlers: Noting, paired_at: datetime | None = None, **more: Any):
        self.now, self.elapsed = NOW, 0.0
        self.store = store
        self.spool = Spool(store)
        self.groups: list[GroupChange] = []
        self.seen_groups: list[Address] = []
        self.files: list[str] = []
        self.receiver = Receiver(
            self.spool,
            Recent(store),
            handlers,
            group_changed=self.groups.append,
            group_seen=self.seen_groups.append,
            details=lambda _: {},
            keep_media=lambda message_id, *_, **__: self.files.append(message_id),
            keep_files=lambda: False,
            paired_at=lambda: paired_at,
            clock=ServerClock(now=lambda: self.now, elapsed_seconds=lambda: self.elapsed),
            **more,
        )

    def take(self, arrival: Arrival) -> None:
        """Record an arrival in a transaction of its own."""
        with transaction(self.store):
            self.receiver.take(arrival)
        self.receiver.finish(committed=True)

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        return [(str(event.type), event.data) for event in self.spool.history]

    async def idle(self) -> None:
        await until(lambda: not self.receiver.busy)


async def test_a_message_is_recorded_and_handled(store: sqlite3.Connection) -> None:
    handler = Noting()
    setup = Setup(store, handler)
    setup.take(message())
    await setup.idle()
    ((event_type, data),) = setup.events()
    assert (event_type, data["messages"][0]["text"]) == ("message-upsert", "hello")
    assert (handler.handled, handler.fresh, setup.receiver.received) == (["A"], [True], 1)


async def test_a_duplicate_message_counts_once_even_later_and_after_a_restart(
    store: sqlite3.Connection,
) -> None:
    time = [0.0]
    setup = Setup(store, seen=Seen(clock=lambda: time[0]))
    for seconds in (0.0, 1.0, 60.0):
        time[0] = seconds
        setup.take(message())
    again = Setup(store)
    again.take(message())
    again.take(message(chat="2"))
    assert (setup.receiver.received, again.receiver.received) == (1, 1)


async def test_other_arrivals_are_recorded(store: sqlite3.Connection) -> None:
    setup = Setup(store)
    ada = Address("1", "lid")
    setup.take(ReceiptUpdate(("A", "B"), ada, ada, "read"))
    setup.take(Presence(ada, "composing", chat=ada))
    setup.take(Presence(ada, "unavailable", last_seen=NOW))
    setup.take(Call("C", ada, "offer"))
    setup.take(change := GroupChange(Address("9", "g.us")))
    assert setup.events() == [
        ("message-ack", {"messageIds": ["A", "B"], "chat": "1@lid", "by": "1@lid", "state": "read"}),
        ("presence-update", {"id": "1@lid", "presence": "composing", "chat": "1@lid"}),
        ("presence-update", {"id": "1@lid", "presence": "unavailable", "lastSeen": NOW}),
        ("call", {"id": "C", "from": "1@lid", "status": "offer"}),
    ]
    assert setup.groups == [change]


async def test_old_messages_and_those_from_before_the_pairing_are_not_fresh(store: sqlite3.Connection) -> None:
    handler = Noting()
    setup = Setup(store, handler, paired_at=NOW - timedelta(minutes=1))
    setup.take(message("A", timestamp=NOW - MAX_AGE - timedelta(seconds=1)))
    setup.take(message("B", timestamp=NOW - timedelta(minutes=2)))
    setup.take(message("C", timestamp=NOW - timedelta(seconds=30)))
    assert handler.fresh == [False, False, True]


async def test_the_reference_of_a_file_is_stored(store: sqlite3.Connection) -> None:
    setup = Setup(store)
    details = {"media": {"mimetype": "image/jpeg", "size": 4}}
    setup.take(message(content=Content(kind=Kind.IMAGE, details=details, file=b"proto")))
    assert setup.files == ["A"]


async def test_an_exception_in_a_handler_affects_neither_the_next_handler_nor_the_next_message(
    store: sqlite3.Connection,
) -> None:
    async def fail(_: Incoming) -> None:
        raise ValueError("secret text")

    second = Noting()
    setup = Setup(store, Noting(fail), second)
    setup.take(message("A"))
    setup.take(message("B"))
    await setup.idle()
    assert second.handled == ["A", "B"]
    errors = [data for event_type, data in setup.events() if event_type == EventType.ERROR]
    assert errors == [{"code": "handler-failed", "message": "noting failed: ValueError"}] * 2


async def test_a_slow_handler_delays_only_its_own_chat(store: sqlite3.Connection) -> None:
    release = asyncio.Event()

    async def wait(message: Incoming) -> None:
        if message.id == "slow":
            await release.wait()

    handler = Noting(wait)
    setup = Setup(store, handler)
    for message_id, chat in (("slow", "1"), ("after", "1"), ("other", "2")):
        setup.take(message(message_id, chat))
    await until(lambda: handler.handled == ["other"])
    release.set()
    await setup.idle()
    assert handler.handled == ["other", "slow", "after"]


async def test_all_messages_of_a_flood_are_recorded_even_if_not_all_are_handled(store: sqlite3.Connection) -> None:
    handler = Noting()
    setup = Setup(store, handler, queues=ChatQueues(capacity=3))
    for number in range(5):
        setup.take(message(str(number)))
    await setup.idle()
    assert (setup.receiver.received, handler.handled) == (5, ["0", "1", "2"])
    assert [data["code"] for event_type, data in setup.events() if event_type == EventType.ERROR] == ["overloaded"] * 2


async def test_idle_chats_have_no_queue_and_concurrency_is_limited() -> None:
    queues = ChatQueues(workers=2)
    running, most = 0, 0

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    for number in range(10):
        assert queues.put(str(number), work)
    assert queues.chats == 10
    await until(lambda: queues.chats == 0)
    assert most == 2


def test_seen_keys_expire_after_five_seconds_and_beyond_the_capacity() -> None:
    time = 0.0
    seen = Seen(clock=lambda: time, capacity=2)
    assert [seen.first("A"), seen.first("A")] == [True, False]
    time = 4.9
    assert not seen.first("A")
    time = 5.0
    assert seen.first("A")
    assert [seen.first("B"), seen.first("C")] == [True, True]
    assert len(seen) == 2
    time = 11.0
    assert len(seen) == 0


def test_the_latest_messages_survive_a_restart_and_older_ones_are_deleted(store: sqlite3.Connection) -> None:
    recent = Recent(store, capacity=10)
    for number in range(500):
        recent.remember(message(str(number), text=f"text {number}"), with_file=False)
    again = Recent(store, capacity=10)
    found = again.find("499", Address("1", "s.whatsapp.net"))
    assert found is not None
    assert (found.text, found.timestamp, found.sender_number) == ("text 499", NOW, "1")
    assert again.find("0", Address("1", "s.whatsapp.net")) is None
    assert again.find("499", Address("2", "s.whatsapp.net")) is None
    (kept,) = store.execute("SELECT count(*) FROM recent").fetchone()
    assert kept <= 210


def test_the_text_of_a_message_is_found_in_its_own_chat_only(store: sqlite3.Connection) -> None:
    recent = Recent(store)
    ada, bob, group = Address("11", "lid"), Address("12", "lid"), Address("13", "g.us")
    for chat, sender, number in ((ada, ada, "491"), (bob, bob, "492"), (group, ada, "491")):
        arrived = message("SAME", text=f"in {chat}")
        recent.remember(replace(arrived, chat=chat, sender=sender, sender_number=number), with_file=False)
    chats = [ada, bob, group, Address("491", "s.whatsapp.net"), Address("492", "s.whatsapp.net")]
    assert [recent.text_of("SAME", chat) for chat in chats] == [
        "in 11@lid", "in 12@lid", "in 13@g.us", "in 11@lid", "in 12@lid",
    ]  # fmt: skip
    for stranger in (Address("14", "lid"), Address("493", "s.whatsapp.net"), Address("491", "g.us")):
        assert recent.text_of("SAME", stranger) == ""


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
async def test_a_message_that_is_delivered_when_it_is_sent_is_fresh_whatever_the_clock(
    store: sqlite3.Connection, jump: timedelta
) -> None:
    handler = Noting()
    setup = Setup(store, handler, paired_at=NOW + HOUR)  # paired when the clock was an hour fast
    setup.now = NOW + jump
    setup.take(BacklogUpdate(delivered=True))
    setup.take(message("A"))
    setup.elapsed += 3 * 3600
    setup.take(message("B", timestamp=NOW + 3 * HOUR))
    assert handler.fresh == [True, True]


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
async def test_after_the_first_message_the_wall_clock_decides_nothing(
    store: sqlite3.Connection, jump: timedelta
) -> None:
    handler = Noting()
    setup = Setup(store, handler)
    setup.take(BacklogUpdate(delivered=True))
    setup.take(message("A"))
    setup.now += jump
    setup.elapsed += 1200
    setup.take(BacklogUpdate(delivered=False))  # a new connection
    setup.take(message("B", timestamp=NOW))
    setup.take(message("C", timestamp=NOW + timedelta(minutes=15)))
    setup.take(BacklogUpdate(delivered=True))
    setup.take(message("D", timestamp=NOW))  # delayed on its way: its sender had to encrypt it again
    assert handler.fresh == [True, False, True, False]


async def test_what_waited_for_a_new_process_is_fresh_by_the_wall_clock(store: sqlite3.Connection) -> None:
    handler = Noting()
    setup = Setup(store, handler, paired_at=NOW + HOUR)  # in the future: no reason to ignore anything
    setup.take(BacklogUpdate(delivered=False))
    setup.take(message("A", timestamp=NOW - HOUR))
    setup.take(message("B", timestamp=NOW - timedelta(minutes=1)))
    assert handler.fresh == [False, True]


async def test_a_message_that_could_not_be_stored_is_not_handled_and_taken_again(store: sqlite3.Connection) -> None:
    handler = Noting()
    setup = Setup(store, handler)
    with suppress(sqlite3.OperationalError), transaction(store):
        setup.receiver.take(message())
        raise sqlite3.OperationalError
    setup.spool.rolled_back()
    setup.receiver.finish(committed=False)
    assert (setup.events(), setup.receiver.received, setup.receiver.busy) == ([], 0, False)
    setup.take(message())
    await setup.idle()
    assert (len(setup.events()), handler.handled) == (1, ["A"])


async def test_a_message_that_cannot_be_dispatched_does_not_block_the_next(store: sqlite3.Connection) -> None:
    handler = Noting()
    handler.wants = lambda message, **_: message.id != "bad" or 1 / 0  # type: ignore[method-assign, assignment]
    setup = Setup(store, handler)
    for message_id in ("bad", "good"):
        setup.take(message(message_id))
    await setup.idle()
    assert handler.handled == ["good"]


async def test_whether_a_message_is_fresh_follows_from_what_came_before_it(store: sqlite3.Connection) -> None:
    handler = Noting()
    setup = Setup(store, handler)
    old = message("A", timestamp=NOW - HOUR)
    for committed in (False, True):
        with suppress(sqlite3.OperationalError), transaction(store):
            setup.receiver.take(old)
            setup.receiver.take(BacklogUpdate(delivered=True))
            if not committed:
                raise sqlite3.OperationalError
        if not committed:
            setup.spool.rolled_back()
        setup.receiver.finish(committed=committed)
    assert handler.fresh == [False]


def test_the_group_of_a_message_is_passed_on(store: sqlite3.Connection) -> None:
    setup = Setup(store)
    setup.receiver.take(message("A"))
    setup.receiver.take(message("B", "9", is_group=True))
    assert setup.seen_groups == [message(chat="9").chat]
