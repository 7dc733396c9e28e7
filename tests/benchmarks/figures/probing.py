"""The controller with N idle bots probed every 10 s: CPU per probe, compared with a loop of one httpx client per bot.

Both probe the same containers at the same time, so that any disturbance affects both. CPU time is that of each process,
by the kernel's clock for it: the controller's includes everything else it does, such as waiting for events, writing
heartbeats and sweeping. Its probes are counted by its own metrics. The baseline's clients are configured like the
controller's, so they also keep their connections open between probes.
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
"""The goal applies from fifty bots on: with fewer, the controller's other work is divided by few probes."""
MEMORY_GOAL = Goal(Kind.MOST, 120 << 20)
INTERVAL = 10.0
WINDOW_SECONDS = 30.0
WINDOWS = 2
SETTLE_SECONDS = 12.0
"""Longer than an interval: the work caused by pairing and adoption has ended."""


def measure(run: Run, size: int) -> Iterator[Row]:
    """The rows for one size."""
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
        "SELECT address, runtime_token FROM bots JOIN bot_status ON bot_key = key WHERE id = ANY(%s)", [bots]
    )
    return [(str(address), str(token)) for address, token in rows]


def _window(world: World, floor: "subprocess.Popen[str]", seconds: float) -> tuple[float, float, float, float]:
    """CPU seconds and probes of the controller and of the baseline within `seconds`.

    Reading the number of probes costs CPU, so the clocks are read after the first answers and before the last.
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
