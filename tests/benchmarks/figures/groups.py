"""A bot in 200 groups of 1,000 members: its peak memory, and what its second process writes to Postgres.

The peak is that of the resident set of the bot's process, libraries included, from its start until it has reported its
groups. The limit of its container covers that, and page cache, which the kernel takes back when memory is short.
"""

import time
from collections.abc import Iterator

from tests.benchmarks import machine
from tests.benchmarks.results import Goal, Kind, Row, Sample, Unit
from tests.benchmarks.run import Run
from tests.benchmarks.world import World
from tests.support.eventually import eventually

MEMORY = Goal(Kind.MOST, 256 << 20)
NOTHING = Goal(Kind.MOST, 0)
GROUPS, MEMBERS = 200, 1000
BOT, PHONE, CREATOR = "groups-000", "491700900000", "491700900001"
DEADLINE_SECONDS = 240.0
_WRITTEN = """
    SELECT 'event ' || id FROM bot_events WHERE bot_id = %(bot)s AND type = 'group-update'
    UNION ALL SELECT id || xmin::text FROM groups WHERE bot_id = %(bot)s
    UNION ALL SELECT group_id || id || xmin::text FROM group_members WHERE bot_id = %(bot)s
"""


def measure(run: Run) -> Iterator[Row]:
    """Four rows."""
    world, fleet, number = run.world, run.world.fleet, run.times(GROUPS)
    fleet.phones.post("/accounts", {"phone": PHONE})
    fleet.phones.post("/contacts", {"phone": CREATOR})
    for index in range(number):
        body = {"creator": CREATOR, "subject": f"Group {index}", "members": [PHONE], "crowd": MEMBERS - 2}
        fleet.phones.post("/groups", body)
    world.add([BOT])
    try:
        world.approve([BOT])
        fleet.pair(BOT, PHONE)
        first = _peak(world, number)
        online = time.time()
        eventually(lambda: _members(world) == number * MEMBERS, deadline=DEADLINE_SECONDS, what="all members")
        stored, before = time.time() - online, _written(world)
        fleet.call("POST", f"/api/bots/{BOT}/restart")
        began = fleet.started_at(BOT)
        eventually(lambda: fleet.started_at(BOT) != began, what="the second process")
        fleet.wait_phase(BOT, "online")
        second = _peak(world, number)
        rows = len(_written(world) ^ before)
    finally:
        world.delete([BOT])
    name = f"a bot in {number} groups of {MEMBERS:,} members"
    yield Row(f"{name}: peak memory, first process", None, Sample((first,), Unit.MEMORY), None, MEMORY)
    yield Row(f"{name}: peak memory, second process", None, Sample((second,), Unit.MEMORY), None, MEMORY)
    yield Row(f"{name}: rows written by the second process", None, Sample((rows,), Unit.COUNT), None, NOTHING)
    yield Row(f"{name}: reported → all members in Postgres", None, Sample((stored,), Unit.SECONDS))


def _peak(world: World, groups: int) -> float:
    """The peak of the bot's process once it has compared its groups with what it had reported, in bytes."""
    container = world.fleet.container(BOT)
    name = str(container.name)
    began = world.bare.started_at([name])[name]
    compared = f"compared {groups} groups"
    eventually(
        lambda: compared in container.logs(since=began).decode(), deadline=DEADLINE_SECONDS, what=f"{compared!r}"
    )
    return machine.peak_bytes(world.bare.pid(name))


def _members(world: World) -> int:
    row = world.sql.execute("SELECT count(*) FROM group_members WHERE bot_id = %s", [BOT]).fetchone()
    assert row is not None, "an aggregate always answers"
    return int(row[0])


def _written(world: World) -> set[str]:
    """Every row about groups, with the transaction that wrote it."""
    return {row[0] for row in world.sql.execute(_WRITTEN, {"bot": BOT})}
