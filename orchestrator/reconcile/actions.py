"""Carries out each action of the plan on the engine, and records the result in the bot's state.

What ends or removes something checks the leadership in Postgres too, not only against this process's own clock.

All methods raise EngineError and its subclasses, LeadershipLostError, and what SQLAlchemy raises when Postgres is
unavailable.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from random import Random

from bot_runtime.contract import EventType
from orchestrator.engine.base import ContainerSpec, Engine, Label, NameTakenError, NetworkMissingError
from orchestrator.reconcile.bot_state import BotState, from_unix
from orchestrator.reconcile.container_spec import network_name
from orchestrator.reconcile.exit_recorder import record_exit
from orchestrator.reconcile.plan import Action, Decision, ProbeResult
from orchestrator.reconcile.restart_policy import RestartPolicy
from orchestrator.reconcile.status_store import StatusStore
from orchestrator.reconcile.volumes import is_former_session, is_owner

log = logging.getLogger(__name__)


class Actions:
    """One bot at a time per call; any number of workers may share one."""

    def __init__(
        self,
        *,
        engine: Engine,
        store: StatusStore,
        owner: str,
        policy: RestartPolicy,
        stop_timeout_seconds: float,
        clock: Callable[[], float],
        random: Random,
    ) -> None:
        self._engine = engine
        self._store = store
        self._owner = owner
        self._policy = policy
        self._stop_timeout_seconds = stop_timeout_seconds
        self._clock = clock
        self._random = random

    async def do(self, state: BotState, decision: Decision, spec: ContainerSpec | None) -> None:
        """Carry out a decision other than NOTHING; `spec` is not None for an action that starts the bot."""
        match decision.action:
            case Action.CREATE:
                assert spec is not None  # noqa: S101 - a bot without a specification is never started
                await self._create(state, spec)
            case Action.START:
                assert state.container is not None  # noqa: S101 - the plan starts only an existing container
                _begin_run(state)
                await self._store.write(state)
                await self._start(state, state.container.id)
            case Action.STOP:
                assert state.container is not None  # noqa: S101 - the plan stops only a running container
                await self._store.check_leadership()
                await self._engine.kill(state.container.id, "SIGTERM")
                deadline = self._clock() + self._stop_timeout_seconds
                state.remembered = replace(state.remembered, stop_deadline=deadline)
            case Action.KILL:
                await self._kill(state, decision)
            case Action.REMOVE:
                assert state.container is not None  # noqa: S101 - the plan removes only an existing container
                await self._store.check_leadership()
                await self._engine.remove(state.container.id)
                state.container = None
                state.remembered = replace(state.remembered, run_open=False)
            case Action.CLEAR_SESSION | Action.PURGE:
                await self._remove_volume(state, decision.action)
            case Action.RECORD_EXIT:
                await record_exit(state, self._engine, self._policy, now=self._clock(), random=self._random.random())

    async def inspect(self, state: BotState) -> None:
        """Look up the bot's container, by its id or else by its name."""
        found = None
        if state.container is not None:
            # By id first: a renamed container still holds this bot's session.
            found = await self._engine.inspect(state.container.id)
            if found is not None and found.labels.get(Label.OWNER) != self._owner:
                # A foreign container under the bot's name: the bot's own may have been renamed.
                found = None
        if found is None:
            found = await self._engine.inspect(state.bot.resource_name)
        if state.container is not None and (found is None or found.id != state.container.id):
            state.probe = state.health = None
        state.container = found

    async def _create(self, state: BotState, spec: ContainerSpec) -> None:
        _begin_run(state)
        # Concurrently, because both wait for a disk: a container that is only created does nothing yet, and a later
        # round starts or removes it.
        written, container = await asyncio.gather(
            self._store.write(state), self._create_in_network(spec), return_exceptions=True
        )
        if isinstance(written, BaseException):
            raise written
        if isinstance(container, NameTakenError):
            # Created by a controller that died afterwards, or a foreign one: the plan decides once it is inspected.
            await self.inspect(state)
            if state.container is None:
                raise container
            return
        if isinstance(container, BaseException):
            raise container
        await self._start(state, container)

    async def _create_in_network(self, spec: ContainerSpec) -> str:
        try:
            return await self._engine.create(spec)
        except NetworkMissingError:
            await self._engine.ensure_network(spec.network)
            return await self._engine.create(spec)

    async def _start(self, state: BotState, container: str) -> None:
        state.own_start = container
        try:
            await self._engine.start(container)
        except NetworkMissingError as exc:
            if state.remembered.replace:
                raise
            # A container stays attached to the network on which it ran, not to one of that name that was created later.
            await self._engine.ensure_network(network_name(state.bot.server_name))
            state.remembered = replace(
                state.remembered, replace=True, last_failure=exc.code, last_failure_message=str(exc)
            )
            state.container = await self._engine.inspect(container)
            return
        now = self._clock()
        again = state.remembered.next_start_at is not None and state.remembered.refusals == 0
        state.container = await self._engine.inspect(container)
        state.kill_reason = None
        state.remembered = replace(
            state.remembered,
            run_open=True,
            replace=False,
            refusals=0,
            healthy_since=None,
            next_start_at=None,
            stop_deadline=None,
        )
        state.restarts += again
        state.started_at = from_unix(now)
        state.health = None
        state.probe = ProbeResult(since=now)
        state.add_event(EventType.CONTAINER_START, {"containerId": container, "restarts": state.restarts}, now=now)

    async def _remove_volume(self, state: BotState, action: Action) -> None:
        bot = state.bot
        volume = await self._engine.inspect_volume(bot.resource_name)
        if volume is not None:
            own = is_owner(volume.labels, bot_id=bot.id, uid=bot.uid)
            if own and (action is Action.PURGE or is_former_session(bot, volume.labels)):
                await self._engine.remove_volume(volume.name)
            else:
                log.warning("bot %s: keeping the volume %s: it is not the one to remove", bot.id, volume.name)
        if action is Action.PURGE:
            await self._store.forget(bot.id)
            return
        state.paired_number = None
        state.volume_bytes = 0
        replacement = state.remembered.replacement
        if replacement is not None:
            # It cannot be online again before a person pairs it, which other bots must not wait for.
            replacement = replace(replacement, was_online=False)
        state.remembered = replace(
            state.remembered, session_generation=bot.session_generation, run_open=False, replacement=replacement
        )

    async def _kill(self, state: BotState, decision: Decision) -> None:
        # Before the reason is set: a kill that Postgres' outage prevents is not why the bot ends later.
        await self._store.check_leadership()
        # Inspected once more: a container that has exited by itself keeps its own reason.
        before = state.container
        await self.inspect(state)
        if before is None or state.container is None or state.container.id != before.id or not state.container.up:
            return
        if state.remembered.stop_deadline is None:
            state.kill_reason = (decision.reason, decision.message)
        await self._engine.kill(state.container.id, "SIGKILL")


def _begin_run(state: BotState) -> None:
    """Set what must be written before a container is started: a new leader must neither take this run for the previous
    one, with its stop in progress, nor restart it again; and a former leader must not start anything."""
    state.remembered = replace(state.remembered, run_open=False, restart_generation=state.bot.restart_generation)
