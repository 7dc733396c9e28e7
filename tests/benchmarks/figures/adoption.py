"""Controller restart with N bots: exec → all adopted, compared with importing the same modules and one list call.

A running controller is stopped and another one is started; the clock runs from its exec until its log reports that it
has adopted the running containers. The baseline is a Python process that imports exactly the modules that a controller
has imported by then (as listed by `-X importtime`) and lists the containers once. The two alternate. No container may
be restarted.
"""

import subprocess
import sys
import time
from collections.abc import Iterator

from orchestrator.engine.base import Label
from tests.benchmarks.results import Goal, Kind, Row, Sample, Unit
from tests.benchmarks.run import Run
from tests.benchmarks.world import World
from tests.support.names import resource_name
from tests.support.processes import ROOT

GOAL = Goal(Kind.RATIO, 2.0)
NONE = Goal(Kind.MOST, 0)
ROUNDS = 5
HOST = "unix:///var/run/docker.sock"


def measure(run: Run, size: int) -> Iterator[Row]:
    """The rows for one size."""
    world = run.world
    bots = world.paired(size)
    world.wait_phase(bots, "online")
    names = [resource_name(world.server, bot) for bot in bots]
    before = world.bare.started_at(names)
    modules = _modules(world)
    ours, floor = [], []
    for _ in range(run.times(ROUNDS)):
        ours.append(world.restart_controller())
        floor.append(_floor(world, modules))
    world.wait_phase(bots, "online")
    restarted = sum(1 for name, at in world.bare.started_at(names).items() if at != before[name])
    measured, floors = Sample(tuple(ours), Unit.SECONDS), Sample(tuple(floor), Unit.SECONDS)
    yield Row("controller restart → all adopted", size, measured, floors, GOAL)
    yield Row("controller restart: containers restarted", size, Sample((restarted,), Unit.COUNT), None, NONE)


def _modules(world: World) -> list[str]:
    """The modules that a controller imports until it has adopted the running bots, in order."""
    world.restart_controller(PYTHONPROFILEIMPORTTIME="1")
    lines = world.controller.log.read_text().splitlines()
    imported = [line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")]
    world.restart_controller()
    return [name for name in imported if name != "imported package"]


def _floor(world: World, modules: list[str]) -> float:
    label = f"{Label.SERVER}={world.server}"
    command = [sys.executable, "-m", "tests.benchmarks.scripts.imports", HOST, label, *modules]
    began = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        listed = process.stdout.readline()
        took = time.monotonic() - began
    assert listed.strip().isdigit(), "the baseline listed nothing"
    return took
