"""What a worker does: each action of the plan, carried out on the engine and kept in the bot's record.

All methods raise EngineError and its kinds, LeadershipLostError, and what SQLAlchemy raises when Postgres is away.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from random import Random

from bot_runtime.contract import EventType
from orchestrator.engine.base import ContainerSpec, Engine, Label, NameTakenError, NetworkMissingError
from orchestrator.reconcile.bot_state import BotState, moment
from orchestrator.reconcile.container_spec import resource_name
from orchestrator.reconcile.exit_recorder import record_exit
from orchestrator.reconcile.plan import Action, Decision, ProbeResult
from orchestrator.reconcile.restart_policy import RestartPolicy
from orchestrator.reconcile.status_store import StatusStore


class Actions:
    """One bot at a time per call; any number of workers may share one."""

    def __init__(
        self,
        *,
        engine: Engine,
        store: StatusStore,
        owner: str,
        policy: RestartPolicy,
        stop_timeout: float,
        clock: Callable[[], float],
        random: Random,
    ) -> None:
        self._engine = engine
        self._store = store
        self._owner = owner
        self._policy = policy
        self._stop_timeout = stop_timeout
        self._clock = clock
        self._random = random

    async def do(self, record: BotState, decision: Decision, spec: ContainerSpec | None) -> None:
        """Carry out a decision other than NOTHING; `spec` is there for whatever starts the bot."""
        match decision.action:
            case Action.CREATE:
                assert spec is not None  # noqa: S101 - a bot without one is not wanted up
                await self._create(record, spec)
            case Action.START:
                assert record.container is not None  # noqa: S101 - the plan starts only what is there
                _begin_run(record)
                await self._store.write([record])
                await self._start(record, record.container.id)
            case Action.STOP:
                await self._signal(record, "SIGTERM")
                record.known = replace(record.known, stop_deadline=self._clock() + self._stop_timeout)
            case Action.KILL:
                await self._kill(record, decision)
            case Action.REMOVE:
                assert record.container is not None  # noqa: S101 - the plan removes only what is there
                await self._engine.remove(record.container.id)
                record.container = None
                record.known = replace(record.known, run_open=False)
            case Action.CLEAR_SESSION | Action.PURGE:
                await self._remove_volume(record, decision.action)
            case Action.RECORD_EXIT:
                await record_exit(record, self._engine, self._policy, now=self._clock(), random=self._random.random())

    async def inspect(self, record: BotState) -> None:
        """Look at the bot's container, by its id or else by its name."""
        assert record.bot is not None  # noqa: S101 - callers have looked
        found = None
        if record.container is not None:
            # By id first: a container that somebody renamed is still the one that holds this bot's session.
            found = await self._engine.inspect(record.container.id)
            if found is not None and found.labels.get(Label.OWNER) != self._owner:
                # A stranger's in our place: it may have been renamed out of the way.
                found = None
        if found is None:
            found = await self._engine.inspect(resource_name(record.bot.server_name, record.bot_id))
        if record.container is not None and (found is None or found.id != record.container.id):
            record.probed = record.health = None
        record.container = found

    async def _create(self, record: BotState, spec: ContainerSpec) -> None:
        _begin_run(record)
        # At once, because both wait for a disk: a container that is only created does nothing yet, and whoever finds it
        # starts it or takes it away.
        written, container = await asyncio.gather(
            self._store.write([record]), self._create_in_network(spec), return_exceptions=True
        )
        if isinstance(written, BaseException):
            raise written
        if isinstance(container, NameTakenError):
            # Ours from a controller that died after creating it, or a stranger's: the plan decides when it sees it.
            await self.inspect(record)
            if record.container is None:
                raise container
            return
        if isinstance(container, BaseException):
            raise container
        await self._start(record, container)

    async def _create_in_network(self, spec: ContainerSpec) -> str:
        try:
            return await self._engine.create(spec)
        except NetworkMissingError:
            await self._engine.ensure_network(spec.network)
            return await self._engine.create(spec)

    async def _start(self, record: BotState, container: str) -> None:
        record.own_start = container
        await self._engine.start(container)
        now = self._clock()
        again = record.known.next_start_at is not None and record.known.refusals == 0
        record.container = await self._engine.inspect(container)
        record.kill_reason = None
        record.known = replace(
            record.known,
            run_open=True,
            replace=False,
            refusals=0,
            healthy_since=None,
            next_start_at=None,
            stop_deadline=None,
        )
        record.restarts += again
        record.started_at = moment(now)
        record.health = None
        record.probed = ProbeResult(since=now)
        record.add_event(EventType.CONTAINER_START, {"containerId": container, "restarts": record.restarts}, now=now)

    async def _remove_volume(self, record: BotState, action: Action) -> None:
        """What cannot be taken back is done only by the acting controller, and if it is wanted at this moment."""
        bot = record.bot
        assert bot is not None  # noqa: S101 - callers have looked
        if not await self._store.confirm(bot):
            record.bot_dirty = True
            return
        await self._engine.remove_volume(resource_name(bot.server_name, bot.id))
        if action is Action.PURGE:
            await self._store.forget(bot.id)
            record.bot = None
            return
        record.paired_number = None
        record.known = replace(record.known, session_generation=bot.session_generation, run_open=False)

    async def _kill(self, record: BotState, decision: Decision) -> None:
        # Looked at once more: one that has ended by itself keeps its own reason.
        before = record.container
        await self.inspect(record)
        if before is None or record.container is None or record.container.id != before.id or not record.container.up:
            return
        if record.known.stop_deadline is None:
            record.kill_reason = (decision.reason, decision.message)
        await self._signal(record, "SIGKILL")

    async def _signal(self, record: BotState, signal: str) -> None:
        assert record.container is not None  # noqa: S101 - the plan signals only what runs
        await self._engine.kill(record.container.id, signal)


def _begin_run(record: BotState) -> None:
    """What has to be written before a container is started: a successor must neither take the run for the last one,
    with its stop under way, nor restart it again; and a controller that was succeeded must not start anything."""
    assert record.bot is not None  # noqa: S101 - callers have looked
    record.known = replace(record.known, run_open=False, restart_generation=record.bot.restart_generation)
