"""A bot in 200 groups of 1,000 members: its peak memory, and what its second process writes to Postgres.

The peak is that of the resident set of the bot's process, libraries included, from its start until it has reported or
compared all groups. The limit of its container covers that, and page cache, which the kernel takes back when it
is short of memory.

One bot is added to its groups while it is online. Another one is paired with an account that is in half as many groups:
it reads the list of all groups with all members at once, for which the library needs 1.4 KB per member.
"""

import time
from collections.abc import Iterator
from typing import LiteralString

from docker.errors import APIError

from tests.benchmarks import machine
from tests.benchmarks.results import Goal, Kind, Row, Sample, Unit
from tests.benchmarks.run import Run
from tests.benchmarks.world import World
from tests.support.eventually import eventually

MEMORY = Goal(Kind.MOST, 256 << 20)
NOTHING = Goal(Kind.MOST, 0)
GROUPS, MEMBERS = 200, 1000
DEADLINE_SECONDS = 300.0
CREATOR = "491700900000"
ADDED, MEMBER = ("groups-000", "491700900001"), ("groups-001", "491700900002")
"""The two bots with the phones of their accounts."""
_WRITTEN = """
    WITH bot AS (SELECT key FROM bots WHERE id = %(bot)s)
    SELECT 'event ' || id FROM bot_events JOIN bot ON bot_key = key WHERE type = 'group-update'
    UNION ALL SELECT id || ' ' || xmin::text FROM groups JOIN bot ON bot_key = key
    UNION ALL SELECT group_id || ' ' || id || ' ' || xmin::text FROM group_members JOIN bot ON bot_key = key
"""


def measure(run: Run) -> Iterator[Row]:
    """Five rows."""
    world, groups = run.world, run.times(GROUPS)
    world.fleet.phones.post("/contacts", {"phone": CREATOR})
    name = f"a bot in {groups} groups of {MEMBERS:,} members"
    try:
        began = time.monotonic()
        first = _added(world, groups)
        took, before = time.monotonic() - began, _written(world)
        second = _restarted(world, groups)
        rows = len(_written(world) ^ before)
        listed = _paired(world, groups // 2)
    finally:
        world.delete([ADDED[0], MEMBER[0]])
    yield Row(f"{name}: peak memory while it is added to them", None, Sample((first,), Unit.MEMORY), None, MEMORY)
    yield Row("  added to the first group → all members in Postgres", None, Sample((took,), Unit.SECONDS))
    yield Row("  peak memory of its second process", None, Sample((second,), Unit.MEMORY), None, MEMORY)
    yield Row("  rows written by its second process", None, Sample((rows,), Unit.COUNT), None, NOTHING)
    yield Row("  with half as many when it is paired: peak memory", None, Sample((listed,), Unit.MEMORY), None, MEMORY)


def _added(world: World, groups: int) -> float:
    bot, phone = ADDED
    _start(world, bot, phone)
    for number in range(groups):
        _group(world, number, phone)
    _wait_stored(world, bot, groups)
    return _peak(world, bot)


def _restarted(world: World, groups: int) -> float:
    bot, _ = ADDED
    since = time.time()
    world.fleet.call("POST", f"/api/bots/{bot}/restart")
    compared = f"compared {groups} groups"

    def log() -> str:
        try:
            return str(world.fleet.container(bot).logs(since=since).decode())
        except APIError:  # while it is being replaced
            return ""

    eventually(log, lambda text: compared in text, deadline=DEADLINE_SECONDS, what=repr(compared))
    return _peak(world, bot)


def _paired(world: World, groups: int) -> float:
    bot, phone = MEMBER
    world.fleet.phones.post("/accounts", {"phone": phone})
    for number in range(groups):
        _group(world, number, phone)
    _start(world, bot, phone)
    _wait_stored(world, bot, groups)
    return _peak(world, bot)


def _start(world: World, bot: str, phone: str) -> None:
    world.add([bot])
    world.approve([bot])
    world.fleet.pair(bot, phone)


def _group(world: World, number: int, phone: str) -> None:
    body = {"creator": CREATOR, "subject": f"Group {number}", "members": [phone], "crowd": MEMBERS - 2}
    world.fleet.phones.post("/groups", body)


def _wait_stored(world: World, bot: str, groups: int) -> None:
    count = "SELECT count(*) FROM group_members WHERE bot_key = (SELECT key FROM bots WHERE id = %s)"
    eventually(
        lambda: _count(world, count, bot),
        lambda number: number == groups * MEMBERS,
        deadline=DEADLINE_SECONDS,
        what="all members",
    )


def _peak(world: World, bot: str) -> float:
    """The peak of the running process, in bytes. Raises RuntimeError if one has ended at the limit."""
    if _count(
        world,
        "SELECT count(*) FROM bot_events "
        "WHERE bot_key = (SELECT key FROM bots WHERE id = %s) AND type = 'container-oom'",
        bot,
    ):
        raise RuntimeError(f"{bot} ran out of memory")
    return machine.peak_bytes(world.bare.pid(world.fleet.name(bot)))


def _count(world: World, query: LiteralString, bot: str) -> int:
    row = world.sql.execute(query, [bot]).fetchone()
    assert row is not None, "an aggregate always answers"
    return int(row[0])


def _written(world: World) -> set[str]:
    """Every row about groups, with the transaction that wrote it."""
    return {row[0] for row in world.sql.execute(_WRITTEN, {"bot": ADDED[0]})}
