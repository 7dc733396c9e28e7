"""What is measured, in which order, and on which fleet: bots are paired once and measured many times."""

import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import docker

from tests.benchmarks import database, machine
from tests.benchmarks.figures import (
    adoption,
    approval,
    connecting,
    engine_restart,
    faults,
    groups,
    hostile,
    memory,
    messages,
    outage,
    probing,
    recovery,
    starts,
    traffic,
    visible,
)
from tests.benchmarks.results import Row
from tests.benchmarks.run import Run
from tests.benchmarks.world import World
from tests.support.processes import ROOT

LOGS = ROOT / ".botdock/bench-logs"

Measure = Callable[[], Iterator[Row]]

_BEFORE_PAIRING = {"starts": starts.measure}
_EACH_SIZE = {"probing": probing.measure, "adoption": adoption.measure}
_ONCE = {
    "memory": memory.measure,
    "recovery": recovery.measure,
    "connecting": connecting.measure,
    "messages": messages.measure,
    "visible": visible.measure,
    "traffic": traffic.measure,
    "faults": faults.measure,
    "outage": outage.measure,
    "engine-restart": engine_restart.measure,
    "groups": groups.measure,
    "hostile": hostile.measure,
}
NAMES = (*_BEFORE_PAIRING, "approval", *_EACH_SIZE, *_ONCE)


class Bench:
    """One run: the fleet to measure, and its steps."""

    def __init__(self, run: Run, description: str) -> None:
        self._run = run
        self.machine = description
        self.notes = run.notes

    def steps(self, names: Collection[str]) -> Iterator[tuple[str, Measure]]:
        """The steps of the named figures, ordered so that the fleet only grows."""
        run = self._run
        for name, sized in _BEFORE_PAIRING.items():
            if name in names:
                yield from ((f"{name} {size}", partial(sized, run, size)) for size in run.sizes)
        if "approval" in names:
            yield "approval", partial(approval.measure, run)
        for size in run.sizes:
            for name, sized in _EACH_SIZE.items():
                if name in names:
                    yield f"{name} {size}", partial(sized, run, size)
        for name, once in _ONCE.items():
            if name in names:
                yield name, partial(once, run)


@contextmanager
def bench(sizes: tuple[int, ...], *, quick: bool) -> Iterator[Bench]:
    """Everything that the figures need; removed at the end of the block."""
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    with ExitStack() as stack:
        client = docker.APIClient(version="auto")
        stack.callback(client.close)
        description = machine.describe(client)
        server_url, postgres = stack.enter_context(database.postgres())
        url, key = database.migrated(server_url)
        world = stack.enter_context(World(database_url=url, admin_key=key, logs=LOGS))
        yield Bench(Run(world, server_url, postgres, LOGS, sizes, quick), description)
