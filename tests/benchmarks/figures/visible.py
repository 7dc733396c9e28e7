"""An event: from its occurrence in the bot until it is visible in Postgres

The measurement runs from the timestamp that the bot gives to a received message's event, before the event is written to
its volume, until a query on another connection finds it committed. The query runs every two milliseconds, so up to two
milliseconds are due to the measurement. The load is light: one bot that receives five messages per second, and N bots
that receive one each.
"""

import time
from collections.abc import Iterator

import psycopg

from tests.benchmarks.results import Goal, Kind, Row, Sample, Unit, quantile
from tests.benchmarks.run import Run
from tests.benchmarks.traffic import Traffic
from tests.benchmarks.world import World

GOALS = (("p50", 0.5, Goal(Kind.MOST, 0.050)), ("p99", 0.99, Goal(Kind.MOST, 0.250)))
SECONDS = 30.0
POLL_SECONDS = 0.002
LATE_SECONDS = 30.0
OVERLAP = 1000
"""Number of ids that are read again: transactions of different bots may commit in another order than their ids."""
_QUERY = """
    SELECT id, timestamp, data -> 'messages' -> 0 ->> 'id' FROM bot_events
    WHERE id > %s AND type = 'message-upsert' ORDER BY id
"""


def measure(run: Run) -> Iterator[Row]:
    """Two rows for one bot, and two for the largest number of bots."""
    seconds = SECONDS / 4 if run.quick else SECONDS
    for size, rate in ((1, 5.0), (run.sizes[-1], 1.0)):
        waits = _waits(run.world, size, rate=rate, seconds=seconds)
        for name, share, goal in GOALS:
            figure = f"event in the bot → in Postgres, {rate:g}/s each, {name}"
            yield Row(figure, size, Sample((quantile(waits, share),), Unit.MILLISECONDS), None, goal)


def _waits(world: World, size: int, *, rate: float, seconds: float) -> list[float]:
    """How long each message's event took, in seconds. Raises TimeoutError if one does not arrive."""
    bots = world.paired(size)[:size]
    seen: dict[str, float] = {}
    with psycopg.connect(world.fleet.database_url, autocommit=True) as connection:
        row = connection.execute("SELECT coalesce(max(id), 0) FROM bot_events").fetchone()
        assert row is not None, "an aggregate always answers"
        first = newest = int(row[0])
        with Traffic(world, bots, rate=rate, seconds=seconds) as traffic:

            def look() -> None:
                nonlocal newest
                rows = connection.execute(_QUERY, [max(first, newest - OVERLAP)], prepare=True).fetchall()
                now = time.time()
                for number, timestamp, message in rows:
                    seen.setdefault(message, now - timestamp.timestamp())
                    newest = max(newest, number)
                time.sleep(POLL_SECONDS)

            while not traffic.ended:
                look()
            written = traffic.finish()
            end = time.monotonic() + LATE_SECONDS
            while missing := [message for message in written.ids if message not in seen]:
                if time.monotonic() > end:
                    raise TimeoutError(f"{len(missing)} events did not arrive within {LATE_SECONDS:g} s")
                look()
    return [seen[message] for message in written.ids]
