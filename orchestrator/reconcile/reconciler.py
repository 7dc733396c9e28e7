"""Reconciles the bots of one server: what wakes a bot up, which worker handles it, and which of them are probed.

Bots are woken by notifications of Postgres, engine events, probe results, timers, and a full sweep every
`resync_interval`. The sweep alone is enough for correctness: it reads all rows and lists all containers, and everything
else only makes things happen sooner.
"""

import asyncio
import logging
from collections.abc import Callable
from random import Random

from bot_runtime.contract import ConnectionState
from orchestrator.clients.bot import BotEndpoint
from orchestrator.db.fence import LeadershipLostError
from orchestrator.db.session import is_unavailable
from orchestrator.engine.base import (
    Engine,
    EngineError,
    EngineEvent,
    EngineEventKind,
    EngineUnavailableError,
    WrongEngineError,
)
from orchestrator.reconcile.bot_state import BotState, BotStates
from orchestrator.reconcile.metrics import Metrics
from orchestrator.reconcile.probe_observer import ProbeObserver
from orchestrator.reconcile.probes import Monitor, ProbeTarget
from orchestrator.reconcile.replacements import Replacements
from orchestrator.reconcile.status_store import StatusStore
from orchestrator.reconcile.sweep import Sweeper
from orchestrator.reconcile.volume_usage import VolumeUsage
from orchestrator.reconcile.worker import Worker
from orchestrator.settings import Settings
from orchestrator.workqueue import WorkQueue

log = logging.getLogger(__name__)

FLUSH_INTERVAL_SECONDS = 5.0
"""Between two writes of heartbeats and other values that change without a change of phase."""
ERROR_FIRST_DELAY_SECONDS = 0.5
ERROR_MAX_DELAY_SECONDS = 30.0
SWEEP_RETRY_SECONDS = 1.0
HELD_UP_SECONDS = 5.0
"""After which a worker leaves a bot whose round lasts longer, and continues with the next one."""


class Reconciler:
    """All bots of a server. `run` until cancelled; raises LeadershipLostError when there is a new leader, and
    WrongEngineError when another engine answers."""

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
        metrics: Metrics,
        on_online: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._engine = engine
        self._store = store
        self._settings = settings
        self._metrics = metrics
        self._states = BotStates()
        self._errors: dict[str, int] = {}
        self._engine_unavailable = False
        self._sweep_now = asyncio.Event()
        self.queue = WorkQueue()
        self.swept = asyncio.Event()
        """Set once the first sweep has adopted the running containers."""
        self.observer = ProbeObserver(
            states=self._states,
            store=store,
            settings=settings,
            clock=clock,
            metrics=metrics,
            wake=self._wake,
            on_online=on_online,
        )
        self._monitor = Monitor(
            self.observer,
            interval_seconds=settings.probe_interval,
            timeout_seconds=settings.probe_timeout,
            random=random,
        )
        self._worker = Worker(
            engine=engine,
            store=store,
            settings=settings,
            owner=owner,
            epoch=epoch,
            clock=clock,
            random=random,
            states=self._states,
            refusal=self.observer.refusal,
            replacements=Replacements(
                states=self._states,
                max_unavailable=settings.max_unavailable,
                clock=clock,
                wake=self._wake,
                complete=self.swept.is_set,
            ),
        )
        self._volume_usage = VolumeUsage(engine=engine, states=self._states, settings=settings, wake=self._wake)
        self._sweeper = Sweeper(
            engine=engine, store=store, settings=settings, clock=clock, states=self._states, metrics=metrics
        )

    def state(self, bot_id: str) -> BotState | None:
        """The state of one bot; None when it does not exist, or its row has not been read yet."""
        return self._states.by_id.get(bot_id)

    def endpoint(self, bot_id: str) -> BotEndpoint | None:
        """Where to call a bot to send messages (for `outbox/`); None while it is not online, or is being deleted."""
        state = self._states.by_id.get(bot_id)
        if state is None or state.bot.deleting:
            return None
        container, health = state.container, state.health
        if container is None or not container.up or container.address is None or health is None:
            return None
        if health.connection != ConnectionState.ONLINE:
            return None
        return BotEndpoint(container.address, state.bot.runtime_token, health.events.spool_id)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._sweeps(), name="sweeps")
                tasks.create_task(self._engine_events(), name="engine-events")
                tasks.create_task(self._flushes(), name="flushes")
                tasks.create_task(self._volume_usage.run(), name="volume-usage")
                for number in range(self._settings.reconcile_workers):
                    tasks.create_task(self._work(tasks), name=f"worker-{number}")
        finally:
            self.queue.close()
            await self._monitor.close()

    # Wake-ups

    def on_change(self, bot_id: str) -> None:
        """A notification of Postgres: the bot's row was written."""
        self._states.stale.add(bot_id)
        self._wake(bot_id)

    def request_sweep(self) -> None:
        """Sweep now: something may have been missed."""
        self._sweep_now.set()

    def _wake(self, bot_id: str) -> None:
        self.queue.add(bot_id)
        self._metrics.queue_depth.set(self.queue.depth)

    async def _engine_events(self) -> None:
        async for event in self._engine.events():
            self._on_engine_event(event)

    def _on_engine_event(self, event: EngineEvent) -> None:
        if event.kind is EngineEventKind.CONNECTED:
            self._engine_unavailable = False
            self.request_sweep()
            return
        state = self._states.by_id.get(event.bot_id or "")
        if state is None:
            if not self.swept.is_set():
                # The sweep that is adopting the containers may have listed this one before the event.
                self.request_sweep()
            return
        if state.is_own_start(event):
            return
        state.observed_dirty = True
        self._wake(state.bot_id)

    # Work

    async def _work(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            bot_id = await self.queue.get()
            self._metrics.queue_depth.set(self.queue.depth)
            # A task of its own, because the engine may not answer for a minute; bots for which it does must not wait.
            await asyncio.wait({tasks.create_task(self._round(bot_id))}, timeout=HELD_UP_SECONDS)

    async def _round(self, bot_id: str) -> None:
        try:
            await self._reconcile(bot_id)
        finally:
            self.queue.done(bot_id)

    async def _reconcile(self, bot_id: str) -> None:
        try:
            requeue_after = await self._worker.reconcile(bot_id)
        except (LeadershipLostError, WrongEngineError):
            raise
        except EngineUnavailableError as exc:
            self._failed(bot_id, "engine-unavailable", exc)
        except EngineError as exc:
            self._failed(bot_id, exc.code, exc)
        except Exception as exc:  # noqa: BLE001, RUF100 - one bot's error must not end the controller
            self._failed(bot_id, "error", exc)
        else:
            self._errors.pop(bot_id, None)
            self._metrics.reconciles.labels(result="ok").inc()
            if requeue_after is not None:
                self.queue.add_later(bot_id, requeue_after)
        self._sync_watch(bot_id)

    def _failed(self, bot_id: str, result: str, exc: Exception) -> None:
        failures = self._errors[bot_id] = self._errors.get(bot_id, 0) + 1
        delay = min(ERROR_FIRST_DELAY_SECONDS * 2.0 ** min(failures - 1, 16), ERROR_MAX_DELAY_SECONDS)
        self._metrics.reconciles.labels(result=result).inc()
        detail = exc if isinstance(exc, EngineError) else type(exc).__name__
        level = logging.WARNING
        if isinstance(exc, EngineUnavailableError):
            self._log_engine_unavailable(exc)
            level = logging.DEBUG
        log.log(level, "bot %s: %s: %s; retrying in %.1f s", bot_id, result, detail, delay)
        if result == "error":
            log.debug("bot %s", bot_id, exc_info=exc)
        self._states.stale.add(bot_id)
        state = self._states.by_id.get(bot_id)
        if state is not None:
            state.observed_dirty = True
        self.queue.add_later(bot_id, delay)

    def _log_engine_unavailable(self, exc: EngineUnavailableError) -> None:
        """Once for all bots and attempts, until the engine answers again."""
        if not self._engine_unavailable:
            self._engine_unavailable = True
            log.warning("%s; reconciling resumes as soon as it answers", exc)

    def _sync_watch(self, bot_id: str) -> None:
        state = self._states.by_id.get(bot_id)
        if state is None or state.container is None or state.probe is None or not state.container.up:
            self._monitor.drop(bot_id)
            return
        container = state.container
        if container.address is None:
            # Disconnected from its network: an existing watch notices, and so does the startup deadline.
            return
        target = ProbeTarget(bot_id, container.id, container.address, state.probe.since, state.bot.runtime_token)
        self._monitor.sync(target, spool=state.spool_id, after=state.spool_seq, pace=state.pace)
        if state.configured < state.bot.config_generation:
            state.configured = state.bot.config_generation
            self._monitor.ask(bot_id)

    # Sweeps

    async def _sweeps(self) -> None:
        while True:
            self._sweep_now.clear()
            delay = self._settings.resync_interval
            try:
                await self.sweep()
            except (LeadershipLostError, WrongEngineError):
                raise
            except EngineUnavailableError as exc:
                self._log_engine_unavailable(exc)
                delay = SWEEP_RETRY_SECONDS
            except EngineError as exc:
                log.warning("sweep failed: %s", exc)
                delay = SWEEP_RETRY_SECONDS
            except Exception as exc:  # noqa: BLE001, RUF100 - the next sweep retries
                log.warning("sweep failed: %s", type(exc).__name__)
                log.debug("sweep failed", exc_info=exc)
                delay = SWEEP_RETRY_SECONDS
            try:
                async with asyncio.timeout(delay):
                    await self._sweep_now.wait()
            except TimeoutError:
                pass

    async def sweep(self) -> None:
        """Sweep once (see `sweep.py`), queue every bot, and remove orphans."""
        adopted = await self._sweeper.sweep()
        for bot_id in self._states.by_id:
            self._wake(bot_id)
        if not self.swept.is_set():
            log.info("adopted %d running containers of %d bots", adopted, len(self._states.by_id))
            self.swept.set()
        await self._sweeper.remove_orphans()

    async def _flushes(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_INTERVAL_SECONDS)
            try:
                await self._store.flush(list(self._states.by_id.values()))
            except LeadershipLostError:
                raise
            except Exception as exc:  # noqa: BLE001, RUF100 - the next flush writes the same values
                log.warning("writing status failed: %s", type(exc).__name__)
                if not is_unavailable(exc):
                    await self._flush_one_by_one()

    async def _flush_one_by_one(self) -> None:
        """Values of one bot that Postgres rejects must not hold up those of the others."""
        for state in list(self._states.by_id.values()):
            try:
                await self._store.flush([state])
            except LeadershipLostError:
                raise
            except Exception as exc:  # noqa: BLE001, RUF100 - the next flush writes the same values
                log.warning("writing the status of bot %s failed: %s", state.bot_id, type(exc).__name__)
