"""An in-memory database with the interface of `StatusStore`, and one controller that tests drive step by step."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, cast

import msgspec

from bot_runtime.contract import ConnectionState
from orchestrator.db.fence import LeadershipLostError
from orchestrator.db.models import Bot, BotKey, BotStatus
from orchestrator.engine.base import EngineError
from orchestrator.engine.memory.engine import MemoryEngine
from orchestrator.engine.memory.host import MemoryContainer, MemoryHost
from orchestrator.reconcile.bot_state import BotState, BotStates, PendingEvent
from orchestrator.reconcile.metrics import Metrics
from orchestrator.reconcile.replacements import Replacements
from orchestrator.reconcile.status_store import StatusStore
from orchestrator.reconcile.sweep import Sweeper
from orchestrator.reconcile.volume_usage import VolumeUsage
from orchestrator.reconcile.worker import Worker
from orchestrator.settings import Settings
from orchestrator.states import Approval, DesiredState
from tests.support.names import resource_name

OWNER = "owner-1"
SERVER = "server1"
START_OF_TIME = 1_800_000_000.0


def settings(**changes: Any) -> Settings:
    """Settings with a database URL that is never used."""
    return Settings(database_url="postgresql://nowhere/none", server_name=SERVER, **changes)


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = START_OF_TIME

    def __call__(self) -> float:
        return self.now

    def moment(self) -> datetime:
        """The time as the engine writes it."""
        return datetime.fromtimestamp(self.now, UTC)


class Crashed(BaseException):
    """The controller's process dies here."""


@dataclass
class Crashes:
    """Ends the controller at its n-th call from now, before or after the call took effect."""

    countdown: int | None = None
    after: bool = False

    async def around(self, call: Callable[[], Any]) -> Any:
        """Make a call, unless the end comes first."""
        due = False
        if self.countdown is not None:
            self.countdown -= 1
            due = self.countdown < 0
        if due:
            self.countdown = None
            if self.after:
                await call()
            raise Crashed
        return await call()


class Crashing:
    """Stands before an engine or a store, and crashes the controller between any two of its calls."""

    def __init__(self, inner: object, crashes: Crashes) -> None:
        self._inner = inner
        self._crashes = crashes

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._crashes.around(lambda: method(*args, **kwargs))

        return call


@dataclass
class Rows:
    """The tables `bots` and `bot_status`, with their triggers."""

    clock: Clock
    epoch: int = 0
    bots: dict[str, Bot] = field(default_factory=dict)
    status: dict[str, BotStatus] = field(default_factory=dict)
    events: list[tuple[str, PendingEvent]] = field(default_factory=list)

    def insert(self, bot_id: str, **values: Any) -> Bot:
        """A new bot, approved and meant to run unless `values` say otherwise."""
        values = {"approval_status": Approval.APPROVED, "desired_state": DesiredState.RUNNING, **values}
        row = {
            "id": bot_id,
            "server_name": SERVER,
            "name": bot_id,
            "resource_name": resource_name(SERVER, bot_id),
            **values,
        }
        row |= {"created_at": self.clock.moment(), "session_since": self.clock.moment()}
        self.bots[bot_id] = Bot(**row)
        self.status[bot_id] = BotStatus(bot_key=BotKey(bot_id), server_name=SERVER)
        return self.bots[bot_id]

    def update(self, bot_id: str, **changes: Any) -> None:
        """What an UPDATE does: the generation grows when anything changes."""
        bot = self.bots[bot_id]
        if any(getattr(bot, name) != value for name, value in changes.items()):
            if changes.get("session_generation", 0) > bot.session_generation:
                changes["session_since"] = max(self.clock.moment(), bot.session_since + timedelta(microseconds=1))
            self.bots[bot_id] = Bot(**{**_values(bot), "generation": bot.generation + 1, **changes})

    def delete(self, bot_id: str) -> None:
        """What a DELETE does."""
        del self.bots[bot_id], self.status[bot_id]


class MemoryStore:
    """`StatusStore` on `Rows`."""

    def __init__(self, rows: Rows, epoch: int) -> None:
        self._rows = rows
        self._epoch = epoch

    async def read_bots(self, take: Callable[[Sequence[tuple[Bot, BotStatus]]], None]) -> None:
        for bot in list(self._rows.bots.values()):
            take([_copy(bot, self._rows.status[bot.id])])

    async def bot(self, bot_id: str) -> tuple[Bot, BotStatus] | None:
        bot = self._rows.bots.get(bot_id)
        return None if bot is None else _copy(bot, self._rows.status[bot_id])

    async def confirm(self, bot: Bot) -> bool:
        self._fence()
        row = self._rows.bots.get(bot.id)
        return row is not None and (row.generation, row.created_at) == (bot.generation, bot.created_at)

    async def write(self, state: BotState) -> None:
        changes = state.changes()
        if not (changes or state.events):
            return
        self._fence()
        status = self._rows.status.get(state.bot_id)
        if status is not None:
            kept = msgspec.json.decode(msgspec.json.encode(changes["memory"])) if "memory" in changes else None
            for name, value in changes.items():
                setattr(status, name, kept if name == "memory" else value)
            self._rows.events += [(state.bot_id, event) for event in state.events]
        state.written.update(changes)
        state.events.clear()

    async def flush(self, states: Sequence[BotState]) -> None:
        for state in states:
            await self.write(state)

    async def check_leadership(self) -> None:
        self._fence()

    async def forget(self, bot_id: str) -> None:
        self._fence()
        if bot_id in self._rows.bots and self._rows.bots[bot_id].deleting:
            self._rows.delete(bot_id)

    def _fence(self) -> None:
        if self._rows.epoch != self._epoch:
            raise LeadershipLostError(f"epoch {self._epoch} has ended")


def _values(row: Bot | BotStatus) -> dict[str, Any]:
    return {name: getattr(row, name) for name in type(row).model_fields}


def _copy(bot: Bot, status: BotStatus) -> tuple[Bot, BotStatus]:
    return Bot(**_values(bot)), BotStatus(**_values(status))


class Driver:
    """One controller without tasks: tests trigger its sweeps, rounds and probe results."""

    def __init__(self, rows: Rows, host: MemoryHost, *, seed: int = 0, **changes: Any) -> None:
        rows.epoch += 1
        self.settings = settings(**changes)
        self.crashes = Crashes()
        self.states = BotStates()
        self.rows = rows
        self.host = host
        self.refusal = ""
        self.complete = True
        """All bots were read."""
        self.woken: list[str] = []
        self.engine = MemoryEngine(owner=OWNER, server=SERVER, host=host)
        self.store = MemoryStore(rows, rows.epoch)
        self._worker = Worker(
            engine=cast("Any", Crashing(self.engine, self.crashes)),
            store=cast("StatusStore", Crashing(self.store, self.crashes)),
            settings=self.settings,
            owner=OWNER,
            epoch=rows.epoch,
            clock=rows.clock,
            random=Random(seed),
            states=self.states,
            refusal=lambda _bot, _reason: self.refusal,
            replacements=Replacements(
                states=self.states,
                max_unavailable=self.settings.max_unavailable,
                clock=rows.clock,
                wake=self.woken.append,
                complete=lambda: self.complete,
            ),
        )
        self._usage = VolumeUsage(
            engine=self.engine, states=self.states, settings=self.settings, wake=self.woken.append
        )
        self._sweeper = Sweeper(
            engine=self.engine,
            store=cast("StatusStore", self.store),
            settings=self.settings,
            clock=rows.clock,
            states=self.states,
            metrics=Metrics(),
        )

    def state(self, bot_id: str) -> BotState:
        """What this controller holds of a bot."""
        return self.states.by_id[bot_id]

    def container(self, bot_id: str) -> MemoryContainer | None:
        """What really is there under the bot's name."""
        return self.host.containers.get(resource_name(SERVER, bot_id))

    def notice(self, bot_id: str) -> None:
        """A notification and a hint arrived."""
        self.states.stale.add(bot_id)
        if bot_id in self.states.by_id:
            self.state(bot_id).observed_dirty = True

    async def round(self, bot_id: str) -> float | None:
        """One round for a bot; what it asks to wait for. Errors of the engine ask for a second look soon."""
        try:
            return await self._worker.reconcile(bot_id)
        except EngineError:
            self.notice(bot_id)
            return 0.5

    async def work(self, bot_id: str, *, rounds: int = 20) -> float | None:
        """Notice and do rounds until the bot has to wait; for how long. Fails when there is no end to them."""
        self.notice(bot_id)
        for _ in range(rounds):
            wait = await self.round(bot_id)
            if wait != 0.0:
                return wait
        raise AssertionError(f"bot {bot_id} is asked again at once {rounds} times in a row")

    async def sweep(self) -> None:
        """Look at everything, volumes too, notice every bot, and remove orphans."""
        await self._sweeper.sweep()
        await self._usage.measure()
        for bot_id in list(self.states.by_id):
            self.notice(bot_id)
        await self._sweeper.remove_orphans()

    def answers(self, bot_id: str, connection: ConnectionState = ConnectionState.ONLINE) -> bool:
        """A probe got an answer from the bot (what `ProbeObserver.on_probe` does); whether that is news."""
        state = self.states.by_id.get(bot_id)
        if state is None or state.probe is None:
            return False
        before = state.probe
        healthy_since = state.remembered.healthy_since or self.rows.clock()
        state.remembered = replace(state.remembered, healthy_since=healthy_since)
        state.probe = replace(before, seen=True, failing=False, failures=0, failure="", connection=connection)
        return state.probe != before

    def hangs(self, bot_id: str) -> bool:
        """Probes failed up to the threshold; returns whether that changed anything."""
        state = self.states.by_id.get(bot_id)
        if state is None or state.probe is None:
            return False
        before = state.probe
        state.probe = replace(before, failing=True, failure="no answer", connection=None)
        return state.probe != before


class World:
    """Clock, rows and machine, and a controller that can be replaced."""

    def __init__(self, **changes: Any) -> None:
        self.clock = Clock()
        self.rows = Rows(self.clock)
        self.host = MemoryHost(clock=self.clock.moment)
        self._changes = changes
        self._seeds = itertools.count()
        self.host.networks[f"botdock-{SERVER}"] = {"botdock.owner": OWNER, "botdock.server": SERVER}
        self.controller = self.new_controller()

    def new_controller(self, **changes: Any) -> Driver:
        """A controller that takes over; the one before has lost its epoch."""
        self.controller = Driver(self.rows, self.host, seed=next(self._seeds), **{**self._changes, **changes})
        return self.controller

    def phase(self, bot_id: str) -> tuple[str, str]:
        """Phase and reason as Postgres has them."""
        status = self.rows.status[bot_id]
        return status.phase, status.reason

    def event_types(self, bot_id: str) -> list[str]:
        """The controller's own events of a bot, without phase changes."""
        return [str(event.type) for bot, event in self.rows.events if bot == bot_id and event.type != "phase-change"]

    async def run(self, bot_id: str, seconds: float = 0.0, *, answering: bool = True) -> None:
        """Advance the clock as the controller requests; a running bot answers probes if `answering`."""
        end = self.clock.now + seconds
        while True:
            wait = await self.controller.work(bot_id)
            if answering and self.controller.answers(bot_id):
                continue
            if wait is None or self.clock.now + wait > end:
                self.clock.now = end
                return
            self.clock.now += wait
