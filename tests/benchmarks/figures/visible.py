"""An event: happens in the bot → visible to others in Postgres

From the time that the bot gives a received message's event, which is before it is on its volume, until a query of
another connection finds it committed. The query runs every two milliseconds, so up to two are the measurement's own.
Everything is under light load: one bot that gets five messages a second, and N bots that get one each.
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
"""Ids looked at again: transactions of different bots commit in another order than that of their ids."""
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
    """How long each message's event took, in seconds. TimeoutError when one does not come."""
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
                for number, moment, message in rows:
                    seen.setdefault(message, now - moment.timestamp())
                    newest = max(newest, number)
                time.sleep(POLL_SECONDS)

            while not traffic.ended:
                look()
            written = traffic.finish()
            end = time.monotonic() + LATE_SECONDS
            while missing := [message for message in written.ids if message not in seen]:
                if time.monotonic() > end:
                    raise TimeoutError(f"{len(missing)} events did not come within {LATE_SECONDS:g} s")
                look()
    return [seen[message] for message in written.ids]
