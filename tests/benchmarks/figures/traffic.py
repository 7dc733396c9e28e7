"""N bots receive 10 messages per second each for half a minute: nothing is lost or duplicated, and CPU per message

One contact per bot writes at a steady rate from a separate process; every tenth message is `.ping`, which the bot
answers. That process, the simulated WhatsApp and all bots share this machine: on too few cores the writing process
itself falls behind, and a line of the table shows how many messages per second were really written.
Each message passes through every stage: WhatsApp's decryption, the check for duplicates, the record on the bot's
volume, commands, and the controller's transaction in Postgres, with commits on disk. Afterwards every id that was
written is looked up in `bot_events`, and every answer in its contact's inbox: an id that is missing was lost, one that
is there more than once was duplicated.
CPU time is that of all bots' cgroups, the controller's process and Postgres' cgroup from the first message until the
last one is in Postgres, divided by the number of messages; their idle consumption is included.
"""

from collections.abc import Callable, Iterator

from tests.benchmarks import machine
from tests.benchmarks.results import Goal, Kind, Row, Sample, Unit
from tests.benchmarks.run import Run
from tests.benchmarks.traffic import Traffic, count, newest_event, stored
from tests.support.eventually import eventually
from tests.support.names import resource_name

NONE = Goal(Kind.MOST, 0)
RATE = 10.0
SECONDS = 30.0
COMMANDS = 10
"""Every tenth message is a command."""
DEADLINE = 120.0


def measure(run: Run) -> Iterator[Row]:
    """The rows, for the largest number of bots."""
    world, size = run.world, run.sizes[-1]
    bots = world.paired(size)
    pids = [world.bare.pid(resource_name(world.server, bot)) for bot in bots]
    postgres_pid = world.bare.pid(run.postgres)
    newest = newest_event(world)

    def used() -> tuple[float, float, float]:
        in_bots = sum(machine.cgroup_cpu_seconds(pid) for pid in pids)
        return in_bots, machine.cpu_seconds(world.controller.pid), machine.cgroup_cpu_seconds(postgres_pid)

    def there() -> int:
        return count(world, "SELECT count(*) FROM bot_events WHERE id > %s AND type = 'message-upsert'", newest)

    with Traffic(world, bots, rate=RATE, seconds=SECONDS / 4 if run.quick else SECONDS, commands=COMMANDS) as traffic:
        answered = [len(world.fleet.phones.inbox(contact)) for contact in traffic.contacts]
        before = used()
        written = traffic.finish()
        behind = len(written.ids) - there()
        try:
            eventually(there, lambda number: number >= len(written.ids), deadline=DEADLINE, what="all messages")
        except TimeoutError as exc:
            run.notes.append(f"traffic: {exc}")
        after = used()

    def unanswered() -> int:
        now = [len(world.fleet.phones.inbox(contact)) for contact in traffic.contacts]
        return written.asked - (sum(now) - sum(answered))

    left = _settled(unanswered)
    times = stored(world, newest, written.ids)
    lost = len(written.ids) - len(times) + max(0, left)
    duplicated = sum(number - 1 for number in times.values()) + max(0, -left)
    seconds = written.ended - written.began
    text = f"{size} bots × {RATE:g} messages/s"
    yield Row(f"{text}: lost of {len(written.ids)}", size, Sample((lost,), Unit.COUNT), None, NONE)
    yield Row(f"{text}: duplicated", size, Sample((duplicated,), Unit.COUNT), None, NONE)
    yield Row("  messages written per second", size, Sample((len(written.ids) / seconds,), Unit.COUNT))
    yield Row("  backlog when the last was written", size, Sample((behind,), Unit.COUNT))
    for name, first, last in zip(("bot", "controller", "Postgres"), before, after, strict=True):
        sample = Sample(((last - first) / len(written.ids),), Unit.MILLISECONDS)
        yield Row(f"  CPU per message: {name}", size, sample)


def _settled(unanswered: Callable[[], int]) -> int:
    try:
        return eventually(unanswered, lambda left: left <= 0, what="all answers")
    except TimeoutError:
        return unanswered()
