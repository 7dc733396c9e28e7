"""Reports of groups: what is queried, what is recorded, and when everything is reported again."""

import asyncio
import sqlite3
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from bot_runtime.contract import EventType, Group, GroupMember
from bot_runtime.groups import Groups
from bot_runtime.inbound.group_events import COMPARISON_SECONDS, GroupEvents
from bot_runtime.inbound.reported_groups import ReportedGroups
from bot_runtime.storage.spool import Spool
from bot_runtime.storage.sqlite import open_store
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import GroupChange, WhatsAppError
from tests.unit.bot_runtime.scripted import ScriptedTransport

OWN = Address("7", "lid")


def group(number: int, *members: int, subject: str = "Choir") -> Group:
    return Group(
        id=f"{number}@g.us",
        subject=subject,
        description="",
        owner=None,
        created_at=None,
        members=[GroupMember(id=f"{member:05}@lid", phone_number=None, admin=False) for member in members],
    )


def address(number: int) -> Address:
    return Address(str(number), "g.us")


class CountingTransport(ScriptedTransport):
    """Counts the queries; `on_query` runs on their thread."""

    def __init__(self) -> None:
        super().__init__()
        self.lists, self.queried = 0, list[str]()
        self.on_query: Any = lambda: None

    def groups(self) -> Iterator[Group]:
        self.lists += 1
        self.on_query()
        yield from super().groups()

    def group(self, address: Address) -> Group:
        self.queried.append(str(address))
        self.on_query()
        self._fail()
        found = [group for group in self.all_groups if group.id == str(address)]
        if not found:
            raise WhatsAppError("item-not-found")
        return found[0]


class Bot:
    """A process with a volume: what it reports, and a connection to WhatsApp."""

    def __init__(self, store: sqlite3.Connection, transport: CountingTransport) -> None:
        self.spool = Spool(store)
        self.transport = transport
        self.online, self.now = False, 0.0
        self.reported = ReportedGroups(store, self.spool)
        self.events = GroupEvents(
            Groups(transport),
            self.reported,
            own_addresses=lambda: frozenset({OWN}),
            online=lambda: self.online,
            clock=lambda: self.now,
            settling_seconds=0,
        )

    async def settle(self) -> None:
        """Wait until nothing is being reported."""
        task = self.events._task
        if task is not None:
            await task

    async def connect(self) -> list[dict[str, Any]]:
        """Come online; what that reports."""
        self.online = True
        self.events.connected()
        return await self.news()

    async def change(self, *changes: GroupChange) -> list[dict[str, Any]]:
        """Receive announcements; what they report."""
        for change in changes:
            self.events.changed(change)
        return await self.news()

    async def news(self) -> list[dict[str, Any]]:
        """What was reported since the last call, which is acknowledged."""
        await self.settle()
        after = self.spool.cursor().acked_seq
        page = await self.spool.page(spool_id=self.spool.spool_id, after=after, limit=500, wait_seconds=0)
        await self.spool.page(spool_id=self.spool.spool_id, after=page.next, limit=1, wait_seconds=0)
        assert {event.type for event in page.items} <= {EventType.GROUP_UPDATE}
        return [event.data for event in page.items]


@pytest.fixture
def transport() -> CountingTransport:
    transport = CountingTransport()
    transport.all_groups = [group(1, 1, 2), group(2, 1)]
    return transport


@pytest.fixture
async def bot(tmp_path: Path, transport: CountingTransport) -> AsyncIterator[Bot]:
    store = open_store(tmp_path / "runtime.db")
    bot = Bot(store, transport)
    yield bot
    bot.events.close()
    store.close()


def summary(news: list[dict[str, Any]]) -> list[Any]:
    """Each report in short: which group, who joined, who is gone."""
    return [
        (data["group"]["id"], [member["id"][:5] for member in data.get("members", [])], data.get("gone", []))
        if "group" in data
        else data
        for data in news
    ]


ALL = [("1@g.us", ["00001", "00002"], []), ("2@g.us", ["00001"], []), {"groups": ["1@g.us", "2@g.us"]}]


async def test_the_first_connection_reports_all_groups_and_further_ones_nothing(
    bot: Bot, transport: CountingTransport
) -> None:
    assert summary(await bot.connect()) == ALL
    assert await bot.connect() == []
    assert transport.lists == 1, "a second connection within a day does not even ask"
    bot.now = COMPARISON_SECONDS
    assert await bot.connect() == []
    assert transport.lists == 2


async def test_another_process_on_the_volume_reports_differences(bot: Bot, transport: CountingTransport) -> None:
    await bot.connect()
    again = Bot(bot.reported._store, transport)
    assert await again.connect() == []
    transport.all_groups = [group(1, 2, 3), group(3, 1)]
    third = Bot(bot.reported._store, transport)
    assert summary(await third.connect()) == [
        ("1@g.us", ["00003"], []),
        ("1@g.us", [], ["00001@lid"]),
        ("3@g.us", ["00001"], []),
        {"left": "2@g.us"},
    ]


async def test_a_bot_without_groups_reports_that_once(bot: Bot, transport: CountingTransport) -> None:
    transport.all_groups = []
    assert await bot.connect() == [{"groups": []}]
    bot.now = COMPARISON_SECONDS
    assert await bot.connect() == []


async def test_a_change_is_reported_as_a_difference(bot: Bot, transport: CountingTransport) -> None:
    await bot.connect()
    transport.all_groups[0] = group(1, 1, 2, 3, subject="Band")
    (news,) = await bot.change(GroupChange(address(1)))
    assert (news["group"]["subject"], len(news["members"])) == ("Band", 1)
    assert await bot.change(GroupChange(address(1))) == []


async def test_a_burst_of_changes_is_queried_once(bot: Bot, transport: CountingTransport) -> None:
    await bot.connect()
    await bot.change(*[GroupChange(address(1))] * 20, GroupChange(address(2)))
    assert transport.queried == ["1@g.us", "2@g.us"]


@pytest.mark.parametrize(
    "change", [GroupChange(address(1), deleted=True), GroupChange(address(1), left=(Address("3", "lid"), OWN))]
)
async def test_leaving_is_reported_once_without_a_query(
    bot: Bot, transport: CountingTransport, change: GroupChange
) -> None:
    await bot.connect()
    assert await bot.change(change) == [{"left": "1@g.us"}]
    assert await bot.change(change) == []
    assert transport.queried == []


async def test_a_group_that_whatsapp_refuses_was_left(bot: Bot, transport: CountingTransport) -> None:
    await bot.connect()
    del transport.all_groups[0]
    assert await bot.change(GroupChange(address(1))) == [{"left": "1@g.us"}]


async def test_a_change_during_the_comparison_is_reported_after_it(bot: Bot, transport: CountingTransport) -> None:
    await bot.connect()
    loop = asyncio.get_running_loop()
    old, new = group(1, 1, 2), group(1, 1, 2, 3)
    transport.all_groups = [new, group(2, 1)]
    await bot.change(GroupChange(address(1)))

    def announce() -> None:
        transport.on_query = lambda: None
        loop.call_soon_threadsafe(bot.events.changed, GroupChange(address(1)))
        transport.all_groups = [old, group(2, 1)]  # the list is older than the announcement

    bot.now, transport.on_query = COMPARISON_SECONDS, announce
    reading = transport.groups

    def outdated() -> Iterator[Group]:
        yield from reading()
        transport.all_groups = [new, group(2, 1)]

    transport.groups = outdated  # type: ignore[method-assign]
    assert summary(await bot.connect()) == [("1@g.us", [], ["00003@lid"]), ("1@g.us", ["00003"], [])]


async def test_nothing_is_queried_while_the_bot_is_offline(bot: Bot, transport: CountingTransport) -> None:
    await bot.connect()
    bot.online = False
    transport.all_groups[0] = group(1, 1)
    assert await bot.change(GroupChange(address(1))) == []
    assert transport.queried == []
    assert summary(await bot.connect()) == [("1@g.us", [], ["00002@lid"])]


async def test_what_could_not_be_queried_is_reported_later(bot: Bot, transport: CountingTransport) -> None:
    transport.error = "timed out"
    assert await bot.connect() == []
    transport.error = ""
    assert summary(await bot.connect()) == ALL
    transport.error = "rate-overlimit"
    transport.all_groups[0] = group(1, 1)
    assert await bot.change(GroupChange(address(1)), GroupChange(address(2))) == []
    transport.error = ""
    assert summary(await bot.connect()) == [("1@g.us", [], ["00002@lid"])]
    assert transport.lists == 2


async def test_the_groups_of_another_account_replace_those_of_the_first(bot: Bot, transport: CountingTransport) -> None:
    await bot.connect()
    bot.events.logged_out()
    transport.all_groups = [group(5, 1)]
    assert summary(await bot.connect()) == [
        ("5@g.us", ["00001"], []),
        {"left": "1@g.us"},
        {"left": "2@g.us"},
        {"groups": ["5@g.us"]},
    ]


async def test_a_message_in_an_unknown_group_reports_it(bot: Bot, transport: CountingTransport) -> None:
    await bot.connect()
    transport.all_groups.append(group(3, 1))
    for number in (1, 3, 3):
        bot.events.seen(address(number))
    assert summary(await bot.news()) == [("3@g.us", ["00001"], [])]
    bot.events.seen(address(3))
    assert await bot.news() == []
    assert transport.queried == ["3@g.us"]


class TestManyMembers:
    @pytest.fixture(autouse=True)
    def _few_are_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bot_runtime.inbound.group_events.LIST_MEMBERS", 2)

    async def test_known_groups_are_compared_one_by_one(self, bot: Bot, transport: CountingTransport) -> None:
        assert summary(await bot.connect()) == ALL
        again = Bot(bot.reported._store, transport)
        transport.all_groups = [group(1, 2), group(9, 1)]
        assert summary(await again.connect()) == [("1@g.us", [], ["00001@lid"]), {"left": "2@g.us"}]
        assert (transport.lists, transport.queried) == (1, ["1@g.us", "2@g.us"])

    async def test_everything_is_reported_again_without_the_list_of_whatsapp(
        self, bot: Bot, transport: CountingTransport
    ) -> None:
        await bot.connect()
        bot.events.events_requested(bot.spool.spool_id, 0)
        assert summary(await bot.news()) == ALL
        assert transport.lists == 1

    async def test_a_failed_query_ends_the_comparison_until_the_next_connection(
        self, bot: Bot, transport: CountingTransport
    ) -> None:
        await bot.connect()
        again = Bot(bot.reported._store, transport)
        transport.error = "rate-overlimit"
        assert await again.connect() == []
        assert transport.queried == ["1@g.us"]
        transport.error = ""
        transport.all_groups[1] = group(2, 1, 5)
        assert summary(await again.connect()) == [("2@g.us", ["00005"], [])]

    async def test_another_account_is_listed(self, bot: Bot, transport: CountingTransport) -> None:
        await bot.connect()
        bot.events.logged_out()
        await bot.connect()
        assert transport.lists == 2


class TestListThatEndsTheProcess:
    async def killed(self, bot: Bot, transport: CountingTransport) -> Bot:
        """A process that is killed while it reads the list, and the next one."""
        assert bot.reported.begin_list()
        return Bot(bot.reported._store, transport)

    async def test_it_is_not_read_by_the_third_process(self, bot: Bot, transport: CountingTransport) -> None:
        third = await self.killed(await self.killed(bot, transport), transport)
        third.online = True
        third.events.connected()
        await third.settle()
        assert transport.lists == 0
        (event,) = third.spool.history
        assert (event.type, event.data["code"]) == (EventType.ERROR, "groups-not-listed")
        third.events.changed(GroupChange(address(1)))
        await third.settle()
        assert third.spool.history[-1].data["group"]["id"] == "1@g.us"
        fourth = Bot(bot.reported._store, transport)
        fourth.online = True
        fourth.events.connected()
        await fourth.settle()
        assert (transport.lists, fourth.reported.listed) == (1, True)

    async def test_other_ends_do_not_count(self, bot: Bot, transport: CountingTransport) -> None:
        transport.error = "timed out"
        for _ in range(3):
            await bot.connect()
        assert transport.lists == 3
        again = await self.killed(bot, transport)
        transport.error = ""
        assert summary(await again.connect()) == ALL


class TestMissedEvents:
    @pytest.mark.parametrize("after", [0, 2, 100])
    async def test_a_receiver_that_is_behind_or_ahead_receives_everything_again(self, bot: Bot, after: int) -> None:
        await bot.connect()
        bot.events.events_requested(bot.spool.spool_id, after)
        assert summary(await bot.news()) == ALL

    async def test_a_receiver_that_lost_its_cursor_receives_everything_again(self, bot: Bot) -> None:
        await bot.connect()
        bot.events.events_requested("", 3)
        assert summary(await bot.news()) == ALL

    async def test_a_receiver_that_has_all_events_receives_nothing(self, bot: Bot) -> None:
        await bot.connect()
        for after in (3, 3):
            bot.events.events_requested(bot.spool.spool_id, after)
        assert await bot.news() == []

    async def test_a_new_volume_is_not_reported_twice(self, bot: Bot) -> None:
        bot.events.events_requested("that of the volume before", 5)
        assert summary(await bot.connect()) == ALL

    async def test_an_offline_bot_reports_everything_when_it_is_online_again(self, bot: Bot) -> None:
        await bot.connect()
        bot.online = False
        bot.events.events_requested(bot.spool.spool_id, 0)
        assert await bot.news() == []
        assert summary(await bot.connect()) == ALL


async def test_on_a_full_disk_nothing_counts_as_reported(
    bot: Bot, transport: CountingTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bot.connect()
    transport.all_groups[0] = group(1, 1, 3)
    with monkeypatch.context() as patched:
        patched.setattr(bot.spool, "append", lambda *_: None)
        assert await bot.change(GroupChange(address(1))) == []
    assert summary(await bot.connect()) == [("1@g.us", ["00003"], []), ("1@g.us", [], ["00002@lid"])]
    bot.events.events_requested(bot.spool.spool_id, bot.spool.cursor().last_seq)
    assert await bot.news() == []


async def test_groups_are_never_all_in_memory(bot: Bot, transport: CountingTransport) -> None:
    def many() -> Iterator[Group]:
        yield from (group(number, *range(1000)) for number in range(100, 140))

    transport.groups = many  # type: ignore[method-assign]
    bot.online = True
    tracemalloc.start()
    bot.events.connected()
    await bot.settle()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert bot.spool.cursor().last_seq == 401
    one = 1000 * 400
    assert peak < 16 * one, "40 groups are 40 times one"
