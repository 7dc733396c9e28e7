"""The controller with N idle bots polled every 10 s: CPU per probe, against a bare loop of one httpx client per bot.

Both poll the same containers in the same minute, so that whatever disturbs one disturbs the other. CPU is each
process's own, by the kernel's clock for it: the controller's holds everything it does besides, such as waiting for
events, writing heartbeats and sweeping. Its probes are counted by its own metrics. The floor's clients are set up as
the controller's are, so they too keep their connections from probe to probe.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator

from tests.benchmarks import machine
from tests.benchmarks.results import Goal, Kind, Row, Sample, Unit
from tests.benchmarks.run import Run
from tests.benchmarks.world import World
from tests.support.processes import ROOT

CPU_GOAL = Goal(Kind.RATIO, 1.5)
GOAL_FROM = 50
"""The goal is for fifty bots: what a controller does besides its probes is spread over few of them with fewer bots."""
MEMORY_GOAL = Goal(Kind.MOST, 120 << 20)
INTERVAL = 10.0
WINDOW_SECONDS = 30.0
WINDOWS = 2
SETTLE_SECONDS = 12.0
"""More than an interval: what pairing and adopting stirred up is over."""


def measure(run: Run, size: int) -> Iterator[Row]:
    """Rows for one size."""
    world = run.world
    bots = world.paired(size)
    windows, seconds = (1, 20.0) if run.quick else (WINDOWS, WINDOW_SECONDS)
    command = [sys.executable, "-m", "tests.benchmarks.scripts.bare_probes"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as floor:
        assert floor.stdin is not None
        floor.stdin.write(json.dumps({"interval": INTERVAL, "targets": _targets(world, bots)}) + "\n")
        floor.stdin.flush()
        try:
            time.sleep(SETTLE_SECONDS)
            ours, bare = [], []
            for _ in range(windows):
                own_cpu, own_probes, bare_cpu, bare_probes = _window(world, floor, seconds)
                ours.append(own_cpu / own_probes)
                bare.append(bare_cpu / bare_probes)
            used = machine.resident_bytes(world.controller.pid)
        finally:
            floor.kill()
    cpu, floors = Sample(tuple(ours), Unit.MILLISECONDS), Sample(tuple(bare), Unit.MILLISECONDS)
    yield Row("controller, bots idle: CPU per probe", size, cpu, floors, CPU_GOAL if size >= GOAL_FROM else None)
    yield Row("controller, bots idle: memory (RSS)", size, Sample((used,), Unit.MEMORY), None, MEMORY_GOAL)


def _targets(world: World, bots: list[str]) -> list[tuple[str, str]]:
    rows = world.sql.execute(
        "SELECT address, runtime_token FROM bots JOIN bot_status ON bot_id = id WHERE id = ANY(%s)", [bots]
    )
    return [(str(address), str(token)) for address, token in rows]


def _window(world: World, floor: "subprocess.Popen[str]", seconds: float) -> tuple[float, float, float, float]:
    """CPU seconds and probes of the controller and of the floor in so many seconds.

    Asking for the numbers of probes costs CPU, too, so the clocks are read after the first answers and before the last.
    """
    pids = (world.controller.pid, floor.pid)
    probes = [_probes(world, floor)]
    cpu = [[machine.cpu_seconds(pid) for pid in pids]]
    time.sleep(seconds)
    cpu.append([machine.cpu_seconds(pid) for pid in pids])
    probes.append(_probes(world, floor))
    own_cpu, bare_cpu = (after - before for before, after in zip(*cpu, strict=True))
    own_probes, bare_probes = (after - before for before, after in zip(*probes, strict=True))
    return own_cpu, own_probes, bare_cpu, bare_probes


def _probes(world: World, floor: "subprocess.Popen[str]") -> tuple[float, float]:
    assert floor.stdin is not None
    assert floor.stdout is not None
    floor.stdin.write("\n")
    floor.stdin.flush()
    return world.metric("botdock_probes_total"), float(floor.stdout.readline())
