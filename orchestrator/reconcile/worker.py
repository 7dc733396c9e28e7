"""Reconciles one bot: looks, asks `plan`, acts, until there is nothing left to do.

Concurrency contract: the queue hands a bot to one worker at a time, so a record is changed by one worker; probes and
notifications only set flags and values that the next round reads. A worker never sleeps: what has to wait is requeued.
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
)
from orchestrator.reconcile.actions import Actions
from orchestrator.reconcile.bot_state import BotState
from orchestrator.reconcile.container_spec import InvalidBotError, container_spec, wanted
from orchestrator.reconcile.plan import (
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
from orchestrator.reconcile.restart_policy import RestartHistory, RestartPolicy
from orchestrator.reconcile.status_store import StatusStore
from orchestrator.settings import Settings
from orchestrator.states import Approval, DesiredState, Phase

log = logging.getLogger(__name__)

MAX_STEPS = 12
"""More steps in one round than any bot needs: beyond that the round ends and the bot is asked again."""
KILL_POLL = 0.5
REFUSED_FIRST_DELAY = 5.0
REFUSED_MAX_DELAY = 300.0
"""Seconds until an engine that refused a bot is asked again; doubled with each refusal."""
BLIND_POLL = 5.0


class Worker:
    """Does one round for one bot at a time; any number may share a store and an engine."""

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
        blind: Callable[[], bool],
    ) -> None:
        """`blind` says whether no bot at all can be reached, which is then not the fault of any of them."""
        self._blind = blind
        self._engine = engine
        self._store = store
        self._settings = settings
        self._owner = owner
        self._epoch = epoch
        self._clock = clock
        self._limits = Limits(startup_timeout=settings.startup_timeout)
        self._actions = Actions(
            engine=engine,
            store=store,
            owner=owner,
            policy=RestartPolicy(start_failure_limit=settings.start_failure_limit),
            stop_timeout=settings.stop_timeout,
            clock=clock,
            random=random,
        )

    async def reconcile(self, record: BotState) -> float | None:
        """One round. Returns the seconds after which the bot has to be looked at again, None when only on a hint.

        Raises EngineUnavailableError, LeadershipLostError and what SQLAlchemy raises when Postgres is away.
        """
        await self._refresh(record)
        if record.bot is None:
            return None
        requeue_after = await self._steps(record)
        await self._store.write([record])
        record.just_loaded = False
        return requeue_after

    async def _refresh(self, record: BotState) -> None:
        if record.bot_dirty:
            record.bot_dirty = False
            row = await self._store.bot(record.bot_id)
            if row is None:
                record.bot = None
            else:
                record.load(*row)
        if record.observed_dirty and record.bot is not None:
            record.observed_dirty = False
            await self._actions.inspect(record)

    async def _steps(self, record: BotState) -> float | None:
        bot = record.bot
        assert bot is not None  # noqa: S101 - callers have looked
        spec = None
        try:
            spec = container_spec(bot, self._settings, owner=self._owner, epoch=self._epoch)
        except InvalidBotError as exc:
            # Whatever is wrong with it, it can be stopped and deleted.
            if (
                bot.approval_status == Approval.APPROVED
                and bot.desired_state == DesiredState.RUNNING
                and not bot.deleting
            ):
                self._settle(record, Decision(Action.NOTHING, Phase.SKIPPED, "invalid-config", str(exc)))
                return None
        want = wanted(bot, spec, owner=self._owner)
        for _ in range(MAX_STEPS):
            self._absorb(record, want)
            decision = plan(want, record.known, record.container, record.probed, self._limits, now=self._clock())
            if spec is not None:
                decision = await self._held_back(record, decision, spec)
            if decision.action is not Action.RECORD_EXIT:
                self._settle(record, decision)
            if decision.action is Action.NOTHING:
                # What is decided after a wait is decided on what is there then, also when no hint tells of it.
                record.observed_dirty |= decision.requeue_after is not None
                return decision.requeue_after
            log.info("bot %s: %s%s", record.bot_id, decision.action, f" ({decision.reason})" if decision.reason else "")
            try:
                await self._actions.do(record, decision, spec)
            except (EngineUnavailableError, ContainerNotFoundError):
                raise
            except EngineError as exc:
                return self._engine_failed(record, exc, decision)
            if decision.action is Action.KILL:
                record.observed_dirty = True
                return KILL_POLL
            if record.bot is None:
                return None
            if record.bot_dirty:
                return 0.0
        return 0.0

    async def _held_back(self, record: BotState, decision: Decision, spec: ContainerSpec) -> Decision:
        """The decision, unless it would take a bot down for a reason that is not its own."""
        if decision.action is Action.KILL and decision.reason in PROBE_REASONS and self._blind():
            message = "none of the bots answers: the controller may be cut off from their network"
            return Decision(Action.NOTHING, record.phase, record.reason, message, requeue_after=BLIND_POLL)
        if decision.action is Action.STOP and decision.reason == "spec-changed":
            if await self._engine.has_image(spec.image):
                return decision
            message = f"the image {spec.image} is not there; the bot goes on in its present container"
            return Decision(Action.NOTHING, Phase.DEGRADED, "image-missing", message, requeue_after=REFUSED_FIRST_DELAY)
        return decision

    def _settle(self, record: BotState, decision: Decision) -> None:
        record.settle(decision, now=self._clock())

    def _absorb(self, record: BotState, want: Desired) -> None:
        """Draw the conclusions of what is now seen, before deciding."""
        bot, known, container = record.bot, record.known, record.container
        assert bot is not None  # noqa: S101 - callers have looked
        up = container is not None and container.up
        if bot.generation != record.observed_generation or want.spec_hash not in {"", known.spec_hash}:
            # The spec changed or a person asked for something: old failures count no longer.
            record.observed_generation = bot.generation
            known = replace(known, history=RestartHistory(), next_start_at=None, crash_loop=False, halted=None)
            known = replace(known, refusals=0, spec_hash=want.spec_hash)
        if not up and known.stop_deadline is not None:
            known = replace(known, stop_deadline=None, run_open=False, healthy_since=None)
        if container is None and not (want.approved and want.running):
            # It went while it was no longer wanted: no failure.
            known = replace(known, run_open=False)
        if up and container is not None and is_ours(want, container):
            if not known.run_open:
                # Started by a controller that died before it could say so.
                known = replace(known, run_open=True, next_start_at=None)
            if record.probed is None:
                previous = (record.phase, record.reason, record.message)
                keep = previous if known.healthy_since is not None else None
                record.probed = ProbeResult(since=self._clock(), previous=keep)
        else:
            record.probed = None
            record.health = None
        record.known = known

    def _engine_failed(self, record: BotState, exc: EngineError, decision: Decision) -> float | None:
        """An engine that refuses one bot: its reason is kept, others are not affected."""
        log.error("bot %s: %s", record.bot_id, exc)
        record.observed_dirty = True
        if isinstance(exc, ImageMissingError | InvalidSpecError):
            record.known = _halt(record.known, exc)
            self._settle(record, Decision(Action.NOTHING, Phase.SKIPPED, exc.code, str(exc)))
            return None
        message = str(exc) if not isinstance(exc, DiskFullError) else f"the engine's disk is full: {exc}"
        known = record.known
        delay = min(REFUSED_FIRST_DELAY * 2.0 ** min(known.refusals, 16), REFUSED_MAX_DELAY)
        starting = decision.action in {Action.CREATE, Action.START}
        record.known = replace(
            known,
            refusals=known.refusals + 1,
            next_start_at=self._clock() + delay if starting else known.next_start_at,
            last_failure=exc.code,
            last_failure_message=message,
        )
        phase = Phase.STOPPING if decision.phase is Phase.STOPPING else Phase.BACKING_OFF
        self._settle(record, Decision(Action.NOTHING, phase, exc.code, message))
        return delay


def _halt(known: Remembered, exc: EngineError) -> Remembered:
    return replace(known, halted=exc.code, halted_message=str(exc), next_start_at=None)
