"""What compromised bots cost the others: memory of api and controller, and probes, healing and sends beside ten of them

The containers of compromised bots run a program that answers in place of the runtime (`tests/support/hostile`). For
the memory, a single one sends the largest answers that it can, accepted ones as well as endless ones, while the api is
asked for all that it passes on from a bot; the growth is the difference of the peaks of the resident sets, within half
a minute each, with this bot and with an ordinary one instead.

For the rest, a fifth of the bots, ten of fifty, are compromised in four ways: large, slow, flooding and broken
answers, and messages wait for them. The intervals between two probes are those of other bots that record them, with
PROBE_INTERVAL=1; bots are killed, one after the other, and the time until each is online again is measured; and
messages through a bot are timed from the call of the api until they are sent. The baseline is the same while no bot is
compromised.
"""

import itertools
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx

from tests.benchmarks import machine
from tests.benchmarks.figures.faults import CONTACTS, WAITING, killed, new_contacts, send
from tests.benchmarks.results import Goal, Kind, Row, Sample, Unit, quantile
from tests.benchmarks.run import Run
from tests.benchmarks.world import World
from tests.support.hostile.container import compromise
from tests.support.hostile.scripts import KINDS, largest, ordinary
from tests.support.hostile.server import Script

GROWTH_GOAL = Goal(Kind.MOST, 20 << 20)
RATIO_GOAL = Goal(Kind.RATIO, 1.2)
SHARE = 5
"""One in so many bots is compromised."""
MEMORY_SECONDS = 30.0
KILLS = 8
SENDS = 200
CONTACT_PREFIX = 4915129
RECORDERS = 3
RECORD_SECONDS = 20.0
PROBED, ONLINE, SENT = "time between probes", "killed → online", "sends"
UNITS = {PROBED: Unit.SECONDS, ONLINE: Unit.SECONDS, SENT: Unit.MILLISECONDS}
PATHS = ("qr", "groups/1@g.us", "media/M1", "qr?format=png")


def measure(run: Run) -> Iterator[Row]:
    """The rows, for the largest number of bots."""
    world, size = run.world, run.sizes[-1]
    number = max(1, size // SHARE)
    honest = world.paired(size - number)
    recorders = [f"recorder-{index}" for index in range(RECORDERS)]
    hostile = [f"hostile-{index}" for index in range(number)]
    world.restart_controller(PROBE_INTERVAL="1")
    try:
        _create(world, [*recorders, *hostile])
        yield from _memory(run, hostile[0])
        _compromise(world, hostile[:1], [ordinary(hostile[0])])
        _compromise(world, recorders, [ordinary(bot) for bot in recorders])
        free = _times(run, honest, recorders)
        _compromise(world, hostile, [KINDS[index % len(KINDS)](bot) for index, bot in enumerate(hostile)])
        for bot, contact in itertools.product(hostile, new_contacts(world, CONTACT_PREFIX)[:WAITING]):
            send(world, bot, contact, wait=0)
        beside = _times(run, honest, recorders)
    finally:
        world.delete([*recorders, *hostile])
        world.restart_controller()
    for what, unit in UNITS.items():
        for share in (0.5, 0.99):
            measured, floor = (Sample((quantile(times[what], share),), unit) for times in (beside, free))
            goal = RATIO_GOAL if share > 0.5 else None
            yield Row(f"{number} hostile bots: {what} of the others, p{share * 100:.0f}", size, measured, floor, goal)


def _create(world: World, bots: Sequence[str]) -> None:
    world.add(bots)
    world.approve(bots)
    world.wait_phase(bots, "pairing")


def _compromise(world: World, bots: Sequence[str], scripts: Sequence[Script]) -> None:
    """Replace the runtimes of these bots, and wait until they run again."""
    for bot, script in zip(bots, scripts, strict=True):

        def stop(bot: str = bot) -> None:
            world.set_desired_state([bot], "stopped")
            world.wait_phase([bot], "stopped")
            world.controller.suspend()

        def start(bot: str = bot) -> None:
            world.set_desired_state([bot], "running")
            world.controller.resume()

        compromise(world.bare.client, world.fleet.name(bot), script, stop=stop, start=start)
    world.wait_phase(bots, "online", "degraded")


def _memory(run: Run, bot: str) -> Iterator[Row]:
    ordinarily, largely = (_peaks(run, bot, script) for script in (ordinary(bot), largest(bot)))
    for name, peak in largely.items():
        grown = Sample((max(0, peak - ordinarily[name]),), Unit.MEMORY)
        yield Row(f"a bot sends the largest answers it can: growth of the {name}", None, grown, None, GROWTH_GOAL)


def _peaks(run: Run, bot: str, script: Script) -> dict[str, int]:
    """The peaks of api and controller, in bytes, while this bot is compromised."""
    pids = {"controller": run.world.controller.pid, "api": run.world.fleet.apis[-1].pid}
    _compromise(run.world, [bot], [script])
    for pid in pids.values():
        machine.forget_peak(pid)
    _ask(run.world, bot, MEMORY_SECONDS / (4 if run.quick else 1))
    return {name: machine.peak_bytes(pid) for name, pid in pids.items()}


def _ask(world: World, bot: str, seconds: float) -> None:
    """Ask the api for what it passes on from the bot, three calls at a time."""
    end = time.monotonic() + seconds

    def ask(path: str) -> None:
        while time.monotonic() < end:
            with suppress(httpx.HTTPError):
                world.fleet.request("GET", f"/api/bots/{bot}/{path}")

    with ThreadPoolExecutor(len(PATHS)) as pool:
        list(pool.map(ask, PATHS))


def _times(run: Run, honest: Sequence[str], recorders: Sequence[str]) -> dict[str, list[float]]:
    """Seconds of each kind."""
    world, contacts = run.world, new_contacts(run.world, CONTACT_PREFIX)
    began = time.time()
    sends = [send(world, honest[0], contacts[number % CONTACTS], wait=20) for number in range(run.times(SENDS))]
    kills = [killed(world, honest[1 + number % (len(honest) - 1)]) for number in range(run.times(KILLS))]
    time.sleep(max(0.0, began + RECORD_SECONDS - time.time()))
    return {SENT: sends, ONLINE: kills, PROBED: _intervals(world, recorders, began)}


def _intervals(world: World, recorders: Sequence[str], since: float) -> list[float]:
    """Seconds between two probes of the same bot."""
    intervals: list[float] = []
    for bot in recorders:
        times = [float(line) for line in world.fleet.container(bot).logs(since=since).decode().split()]
        intervals += [after - before for before, after in itertools.pairwise(times)]
    return intervals
