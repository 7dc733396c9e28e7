"""Reconciles one bot: observes, asks `plan` for the next step, takes it, until nothing is left to do.

Concurrency contract: the queue hands a bot to one worker at a time, so a state is changed by one worker; probes and
notifications only set flags and values that the next round reads. A worker never sleeps: a bot that has to wait is
requeued.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from random import Random

from orchestrator.engine.base import (
    ContainerNotFoundError,
    ContainerSpec,
    DiskFullError,
    Engine,
    EngineError,
    EngineUnavailableError,
    ImageMissingError,
    InvalidSpecError,
    Label,
)
from orchestrator.reconcile.actions import Actions
from orchestrator.reconcile.bot_state import BotState, BotStates
from orchestrator.reconcile.container_spec import InvalidBotError, container_spec, desired
from orchestrator.reconcile.plan import (
    IRREVERSIBLE,
    PROBE_REASONS,
    Action,
    Decision,
    Desired,
    Limits,
    ProbeResult,
    Remembered,
    is_ours,
    plan,
)
from orchestrator.reconcile.replacements import Replacements
from orchestrator.reconcile.restart_policy import RestartHistory, RestartPolicy
from orchestrator.reconcile.rollout import Hold
from orchestrator.reconcile.status_store import StatusStore
from orchestrator.reconcile.volume_usage import limit_volume
from orchestrator.settings import Settings
from orchestrator.states import Approval, DesiredState, Phase

log = logging.getLogger(__name__)

MAX_STEPS = 12
"""More steps than any bot needs in one round: beyond that the round ends and the bot is requeued."""
KILL_POLL_SECONDS = 0.5
REFUSED_FIRST_DELAY_SECONDS = 5.0
REFUSED_MAX_DELAY_SECONDS = 300.0
"""Until an engine that refused a bot is asked again; doubled with each refusal."""
REFUSED_KILL_POLL_SECONDS = 5.0


class Worker:
    """Does one round for one bot at a time; any number may share the states, a store and an engine."""

    def __init__(
        self,
        *,
        engine: Engine,
        store: StatusStore,
        settings: Settings,
        owner: str,
        epoch: int,
        clock: Callable[[], float],
        random: Random,
        states: BotStates,
        refusal: Callable[[str, str], str],
        replacements: Replacements,
    ) -> None:
        """`refusal` returns why a bot must not be killed for a reason based on probes alone; empty: it may be."""
        self._refusal = refusal
        self._replacements = replacements
        self._engine = engine
        self._store = store
        self._settings = settings
        self._owner = owner
        self._epoch = epoch
        self._clock = clock
        self._states = states
        self._limits = Limits(startup_timeout_seconds=settings.startup_timeout)
        policy = RestartPolicy(start_failure_limit=settings.start_failure_limit)
        self._max_start_seconds = max(policy.max_delay_seconds * (1 + policy.jitter), REFUSED_MAX_DELAY_SECONDS)
        self._actions = Actions(
            engine=engine,
            store=store,
            owner=owner,
            policy=policy,
            stop_timeout_seconds=settings.stop_timeout,
            clock=clock,
            random=random,
        )

    async def reconcile(self, bot_id: str) -> float | None:
        """One round. Returns the seconds until the next one, or None when only an event calls for one.

        Raises EngineUnavailableError, LeadershipLostError and what SQLAlchemy raises when Postgres is unavailable.
        """
        state = await self._refresh(bot_id)
        if state is None:
            return None
        requeue_after = await self._steps(state)
        due = self._replacements.due_seconds(state)
        if due is not None:
            requeue_after = due if requeue_after is None else min(due, requeue_after)
        if self._states.by_id.get(bot_id) is state:
            await self._store.write(state)
            state.just_loaded = False
        return requeue_after

    async def _refresh(self, bot_id: str) -> BotState | None:
        """The bot's state with its row and container as they are now; None when there is no such bot."""
        if bot_id in self._states.stale:
            self._states.stale.discard(bot_id)
            row = await self._store.bot(bot_id)
            if row is None:
                self._states.by_id.pop(bot_id, None)
            else:
                self._states.reload(*row)
        state = self._states.by_id.get(bot_id)
        if state is not None and state.observed_dirty:
            state.observed_dirty = False
            await self._actions.inspect(state)
        return state

    async def _steps(self, state: BotState) -> float | None:
        bot = state.bot
        spec = None
        try:
            spec = container_spec(bot, self._settings, owner=self._owner, epoch=self._epoch)
        except InvalidBotError as exc:
            # Whatever is wrong with it, it can still be stopped and deleted.
            up = bot.approval_status == Approval.APPROVED and bot.desired_state == DesiredState.RUNNING
            if up and not bot.deleting:
                self._settle(state, Decision(Action.NOTHING, Phase.SKIPPED, "invalid-config", str(exc)))
                return None
        target = desired(bot, spec, owner=self._owner)
        for _ in range(MAX_STEPS):
            hold = None if spec is None else await self._hold_replacement(state, target, spec)
            current = target if hold is None else _keep_container(target, state)
            self._absorb(state, current)
            self._replacements.observe(state, target)
            decision = plan(current, state.remembered, state.container, state.probe, self._limits, now=self._clock())
            if spec is not None:
                decision = await self._hold_back(state, target, decision, spec)
            if hold is not None:
                decision = _explained(decision, hold)
            if decision.action is not Action.RECORD_EXIT:
                self._settle(state, decision)
            if decision.action is Action.NOTHING:
                # After a wait the container is inspected again, even if no event reported a change.
                state.observed_dirty |= decision.requeue_after_seconds is not None
                return decision.requeue_after_seconds
            if decision.action in IRREVERSIBLE and not await self._store.confirm(bot):
                self._states.stale.add(bot.id)
                return 0.0
            log.info("bot %s: %s%s", bot.id, decision.action, f" ({decision.reason})" if decision.reason else "")
            answered = state.remembered.healthy_since is not None
            try:
                await self._actions.do(state, decision, spec)
            except (EngineUnavailableError, ContainerNotFoundError):
                raise
            except EngineError as exc:
                return self._engine_failed(state, exc, decision)
            if decision.action is Action.RECORD_EXIT and state.container is not None and state.last_exit is not None:
                self._replacements.ended(state, answered=answered, message=str(state.last_exit["message"]))
            if decision.action is Action.KILL:
                state.observed_dirty = True
                return KILL_POLL_SECONDS
            if decision.action is Action.PURGE:
                del self._states.by_id[bot.id]
                return None
            if bot.id in self._states.stale:
                return 0.0
        return 0.0

    async def _hold_replacement(self, state: BotState, target: Desired, spec: ContainerSpec) -> Hold | None:
        """Why a container of other settings is not replaced now. If it is, that is stored before anything is done."""
        if not self._replacements.concerns(state, target):
            return None
        hold = self._replacements.hold(state, target)
        if hold is not None:
            return hold
        if not await self._engine.has_image(spec.image):
            up = state.container is not None and state.container.up
            return None if up else Hold("image-missing", _image_missing(spec))
        # Asked again: another bot may have begun meanwhile.
        hold = self._replacements.hold(state, target)
        if hold is None:
            self._replacements.begin(state, target)
            await self._store.write(state)
        return hold

    async def _hold_back(self, state: BotState, target: Desired, decision: Decision, spec: ContainerSpec) -> Decision:
        """The decision, unless it would take a bot down for a reason that lies elsewhere."""
        if decision.action is Action.KILL and decision.reason in PROBE_REASONS:
            message = self._refusal(state.bot_id, decision.reason)
            if message:
                return Decision(
                    Action.NOTHING, state.phase, state.reason, message, requeue_after_seconds=REFUSED_KILL_POLL_SECONDS
                )
        if decision.action is Action.STOP and decision.reason == "spec-changed":
            if await self._engine.has_image(spec.image):
                if not self._replacements.concerns(state, target):
                    return decision
                # The image has just arrived: the replacement has to begin first.
                return Decision(Action.NOTHING, state.phase, state.reason, state.message, requeue_after_seconds=0.0)
            return Decision(
                Action.NOTHING,
                Phase.DEGRADED,
                "image-missing",
                _image_missing(spec),
                requeue_after_seconds=REFUSED_FIRST_DELAY_SECONDS,
            )
        return decision

    def _settle(self, state: BotState, decision: Decision) -> None:
        state.settle(decision, now=self._clock())

    def _absorb(self, state: BotState, target: Desired) -> None:
        """Update what is remembered from what is observed now, before deciding."""
        state.bound_waits(
            now=self._clock(), start_seconds=self._max_start_seconds, stop_seconds=self._settings.stop_timeout
        )
        remembered, container = state.remembered, state.container
        up = container is not None and container.up
        if state.bot.generation != state.observed_generation or target.spec_hash not in {"", remembered.spec_hash}:
            # The specification changed or an operator acted: earlier failures no longer count.
            state.observed_generation = state.bot.generation
            remembered = replace(
                remembered,
                history=RestartHistory(),
                next_start_at=None,
                crash_loop=False,
                halted=None,
                refusals=0,
                spec_hash=target.spec_hash,
            )
        remembered = limit_volume(
            state, target, remembered, max_bytes=self._settings.volume_max_bytes, now=self._clock()
        )
        if not up and remembered.stop_deadline is not None:
            remembered = replace(remembered, stop_deadline=None, run_open=False, healthy_since=None)
        if container is None and not (target.approved and target.running):
            # It ended when it was no longer supposed to run: not a failure.
            remembered = replace(remembered, run_open=False)
        if up and container is not None and is_ours(target, container):
            if not remembered.run_open:
                # Started by a controller that died before it could record the start.
                remembered = replace(remembered, run_open=True, next_start_at=None)
            if state.probe is None:
                previous = (state.phase, state.reason, state.message)
                keep = previous if remembered.healthy_since is not None else None
                state.probe = ProbeResult(since=self._clock(), previous=keep)
        else:
            state.probe = None
            state.health = None
        state.remembered = remembered

    def _engine_failed(self, state: BotState, exc: EngineError, decision: Decision) -> float | None:
        """The engine refused an action for this bot: store the reason; other bots are not affected."""
        log.error("bot %s: %s", state.bot_id, exc)
        state.observed_dirty = True
        if decision.action in {Action.CREATE, Action.START}:
            self._replacements.ended(state, answered=False, message=str(exc))
        if isinstance(exc, ImageMissingError | InvalidSpecError):
            state.remembered = _halt(state.remembered, exc)
            self._settle(state, Decision(Action.NOTHING, Phase.SKIPPED, exc.code, str(exc)))
            return None
        message = str(exc) if not isinstance(exc, DiskFullError) else f"the engine's disk is full: {exc}"
        remembered = state.remembered
        delay = min(REFUSED_FIRST_DELAY_SECONDS * 2.0 ** min(remembered.refusals, 16), REFUSED_MAX_DELAY_SECONDS)
        starting = decision.action in {Action.CREATE, Action.START}
        state.remembered = replace(
            remembered,
            refusals=remembered.refusals + 1,
            next_start_at=self._clock() + delay if starting else remembered.next_start_at,
            last_failure=exc.code,
            last_failure_message=message,
        )
        phase = Phase.STOPPING if decision.phase is Phase.STOPPING else Phase.BACKING_OFF
        self._settle(state, Decision(Action.NOTHING, phase, exc.code, message))
        return delay


def _keep_container(target: Desired, state: BotState) -> Desired:
    """The desired state with the present container's specification."""
    assert state.container is not None  # noqa: S101 - only a container that exists is kept
    return replace(target, spec_hash=state.container.labels.get(Label.SPEC_HASH, ""), keep_container=True)


def _explained(decision: Decision, hold: Hold) -> Decision:
    """The decision with the reason why the container is not replaced, besides the reason of the bot's phase."""
    if decision.action is not Action.NOTHING or not hold.message or hold.message in decision.message:
        return decision
    message = f"{decision.message}; {hold.message}" if decision.message else hold.message
    return replace(decision, reason=decision.reason or hold.reason, message=message)


def _image_missing(spec: ContainerSpec) -> str:
    return f"image {spec.image} not found; the bot keeps running in its current container"


def _halt(remembered: Remembered, exc: EngineError) -> Remembered:
    return replace(remembered, halted=exc.code, halted_message=str(exc), next_start_at=None)
