"""N bots get 10 messages a second each, for half a minute: nothing is lost or doubled, and what a message costs

One contact for each bot writes at a steady rate from a process of its own; every tenth message is `.ping` and answered.
That process, the simulated WhatsApp and all bots share this machine: where it has too few cores the writing itself
falls behind, and a line of the table tells how many messages a second there really were.
Each message goes through everything: WhatsApp's decryption, duplicates, the record on the bot's volume, commands,
and the controller's transaction in Postgres, whose commits are on disk. Afterwards every id that was written is looked
for in `bot_events`, and every answer at its contact: what is not there was lost, what is there more than once doubled.
CPU is that of all bots' cgroups, of the controller's process and of Postgres' cgroup from the first message until the
last is in Postgres, over the number of messages; what they would have used idle is in it.
"""

from collections.abc import Callable, Iterator

from orchestrator.reconcile.container_spec import resource_name
from tests.benchmarks import machine
from tests.benchmarks.results import Goal, Kind, Row, Sample, Unit
from tests.benchmarks.run import Run
from tests.benchmarks.traffic import Traffic
from tests.benchmarks.world import World
from tests.support.eventually import eventually

NONE = Goal(Kind.MOST, 0)
RATE = 10.0
SECONDS = 30.0
COMMANDS = 10
"""Every tenth message is one."""
DEADLINE = 120.0


def measure(run: Run) -> Iterator[Row]:
    """The rows, for the largest number of bots."""
    world, size = run.world, run.sizes[-1]
    bots = world.paired(size)
    pids = [world.bare.pid(resource_name(world.server, bot)) for bot in bots]
    newest = _count(world, "SELECT coalesce(max(id), 0) FROM bot_events")

    def used() -> tuple[float, float, float]:
        in_bots = sum(machine.cgroup_cpu_seconds(pid) for pid in pids)
        return in_bots, machine.cpu_seconds(world.controller.pid), machine.cgroup_cpu_seconds(run.postgres_pid)

    def there() -> int:
        return _count(world, "SELECT count(*) FROM bot_events WHERE id > %s AND type = 'message-upsert'", newest)

    with Traffic(world, bots, rate=RATE, seconds=SECONDS / 4 if run.quick else SECONDS, commands=COMMANDS) as traffic:
        answered = [len(world.fleet.phones.inbox(contact)) for contact in traffic.contacts]
        before = used()
        written = traffic.finish()
        behind = len(written.ids) - there()
        try:
            eventually(there, lambda count: count >= len(written.ids), deadline=DEADLINE, what="all messages")
        except TimeoutError as exc:
            run.notes.append(f"traffic: {exc}")
        after = used()

    def unanswered() -> int:
        now = [len(world.fleet.phones.inbox(contact)) for contact in traffic.contacts]
        return written.asked - (sum(now) - sum(answered))

    left = _at_last(unanswered)
    times: dict[str, int] = dict(world.sql.execute(_TIMES, [newest, list(written.ids)]).fetchall())
    lost = len(written.ids) - len(times) + max(0, left)
    doubled = sum(count - 1 for count in times.values()) + max(0, -left)
    seconds = written.ended - written.began
    text = f"{size} bots × {RATE:g} messages/s"
    yield Row(f"{text}: lost of {len(written.ids)}", size, Sample((lost,), Unit.COUNT), None, NONE)
    yield Row(f"{text}: doubled", size, Sample((doubled,), Unit.COUNT), None, NONE)
    yield Row("  written in a second", size, Sample((len(written.ids) / seconds,), Unit.COUNT))
    yield Row("  not yet in Postgres when the last was written", size, Sample((behind,), Unit.COUNT))
    for name, first, last in zip(("bot", "controller", "Postgres"), before, after, strict=True):
        sample = Sample(((last - first) / len(written.ids),), Unit.MILLISECONDS)
        yield Row(f"  CPU for a message: {name}", size, sample)


_TIMES = """
    SELECT message ->> 'id', count(*) FROM bot_events, jsonb_array_elements(data -> 'messages') AS message
    WHERE bot_events.id > %s AND type = 'message-upsert' AND message ->> 'id' = ANY(%s) GROUP BY 1
"""


def _count(world: World, query: str, *parameters: int) -> int:
    row = world.sql.execute(query.encode(), parameters).fetchone()
    assert row is not None, "an aggregate always answers"
    return int(row[0])


def _at_last(unanswered: Callable[[], int]) -> int:
    try:
        return eventually(unanswered, lambda left: left <= 0, what="all answers")
    except TimeoutError:
        return unanswered()
