"""Messages of one bot compared with a plain neonize echo script, both as processes on one simulator at the same time.

The round trip runs from a contact's `.ping` to the answer on its phone and includes the simulator's own work. A burst
consists of messages that were written while the bot was offline: they are delivered as fast as the bot accepts them.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

from tests.benchmarks.results import Goal, Kind, Row, Sample, Unit, quantile
from tests.benchmarks.run import Run
from tests.support.processes import ROOT

ROUND_TRIP_GOAL = Goal(Kind.RATIO, 1.3)
BURST_GOAL = Goal(Kind.RATIO, 1 / 0.7)
MEMORY_GOAL = Goal(Kind.MOST, 5 << 20)
ROUNDS, BURST, MANY = 400, 2000, 10_000


def measure(run: Run) -> Iterator[Row]:
    """The rows."""
    numbers = [str(run.times(number)) for number in (ROUNDS, BURST, MANY)]
    command = [sys.executable, "-m", "tests.benchmarks.scripts.messages", *numbers]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests/simulator")))}
    answer = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(answer.stdout.splitlines()[-1])
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        ours, floor = (_sample(quantile(found[side], share)) for side in ("ours", "bare"))
        yield Row(f".ping → answer at the contact, {name}", None, ours, floor, ROUND_TRIP_GOAL)
    ours, floor = _sample(found["oursBurst"]), _sample(found["bareBurst"])
    yield Row("message burst: time per message", None, ours, floor, BURST_GOAL)
    grown = Sample((max(0.0, float(found["memoryGrown"])),), Unit.MEMORY)
    yield Row(f"memory growth after {numbers[2]} messages", None, grown, None, MEMORY_GOAL)


def _sample(seconds: float) -> Sample:
    return Sample((seconds,), Unit.MILLISECONDS)
