"""Two hours without Postgres while a bot receives 10 messages per second, compressed: nothing is lost or duplicated.

Postgres is frozen (`docker pause`), and a contact writes as many messages as arrive in two hours, twenty times as fast.
The bot keeps on its volume what it has received, WhatsApp the rest, and the controller loses its leadership. Then
Postgres continues; each id that was written is looked up in `bot_events`: one that is missing was lost, one that is
there more than once was duplicated.
"""

from collections.abc import Iterator

from tests.benchmarks.results import Goal, Kind, Row, Sample, Unit
from tests.benchmarks.run import Run
from tests.benchmarks.traffic import Traffic, count, newest_event, stored
from tests.support.eventually import eventually

NONE = Goal(Kind.MOST, 0)
RATE = 200.0
SECONDS = 360.0
CATCH_UP_SECONDS = 1500.0
_STORED = "SELECT count(*) FROM bot_events WHERE id > %s AND type = 'message-upsert'"


def measure(run: Run) -> Iterator[Row]:
    """The rows."""
    world = run.world
    (bot,) = world.paired(1)
    newest = newest_event(world)
    with Traffic(world, [bot], rate=RATE, seconds=SECONDS / 4 if run.quick else SECONDS) as traffic:
        world.bare.client.pause(run.postgres)
        try:
            written = traffic.finish()
        finally:
            world.bare.client.unpause(run.postgres)
    try:
        eventually(
            lambda: count(world, _STORED, newest),
            lambda number: number >= len(written.ids),
            deadline=CATCH_UP_SECONDS,
            what="all messages",
        )
    except TimeoutError as exc:
        run.notes.append(f"outage: {exc}")
    times = stored(world, newest, written.ids)
    text = "Postgres frozen while messages arrive"
    lost, more = len(written.ids) - len(times), sum(number - 1 for number in times.values())
    yield Row(f"{text}: lost of {len(written.ids)}", None, Sample((lost,), Unit.COUNT), None, NONE)
    yield Row(f"{text}: duplicated", None, Sample((more,), Unit.COUNT), None, NONE)
