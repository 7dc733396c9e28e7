"""One server's bots under one controller: what wakes a bot up, who works on it, and what probes say of it.

Wake-ups are notifications of Postgres, hints of the engine, results of probes, timers, and a full sweep every
`resync_interval`, which alone is enough to be right: it reads all rows and lists all containers, and everything else
only makes things happen sooner.
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
)
from orchestrator.reconcile.bot_state import BotState
from orchestrator.reconcile.metrics import Metrics
from orchestrator.reconcile.probe_observer import ProbeObserver
from orchestrator.reconcile.probes import Monitor, ProbeTarget
from orchestrator.reconcile.status_store import StatusStore
from orchestrator.reconcile.sweep import Sweeper
from orchestrator.reconcile.worker import Worker
from orchestrator.settings import Settings
from orchestrator.workqueue import WorkQueue

log = logging.getLogger(__name__)

FLUSH_INTERVAL = 5.0
"""Seconds between two writes of heartbeats and other values that change without a change of phase."""
ERROR_FIRST_DELAY = 0.5
ERROR_MAX_DELAY = 30.0


class Reconciler:
    """All bots of a server. `run` until cancelled; raises LeadershipLostError when another controller took over."""

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
        self._records: dict[str, BotState] = {}
        self._errors: dict[str, int] = {}
        self._engine_away = False
        self._sweep_now = asyncio.Event()
        self.queue = WorkQueue()
        self.swept = asyncio.Event()
        """Set once the first sweep has adopted what runs."""
        self.observer = ProbeObserver(
            records=self._records,
            store=store,
            settings=settings,
            clock=clock,
            metrics=metrics,
            wake=self._wake,
            on_online=on_online,
        )
        self._monitor = Monitor(
            self.observer, interval=settings.probe_interval, timeout=settings.probe_timeout, random=random
        )
        self._worker = Worker(
            engine=engine,
            store=store,
            settings=settings,
            owner=owner,
            epoch=epoch,
            clock=clock,
            random=random,
            blind=self.observer.blind,
        )
        self._sweeper = Sweeper(
            engine=engine, store=store, settings=settings, clock=clock, records=self._records, metrics=metrics
        )

    def record(self, bot_id: str) -> BotState | None:
        """What is held of one bot."""
        return self._records.get(bot_id)

    def endpoint(self, bot_id: str) -> BotEndpoint | None:
        """Where a bot can be asked to send; None while it is not online, or shall not be (for `outbox/`)."""
        record = self._records.get(bot_id)
        if record is None or record.bot is None or record.bot.deleting:
            return None
        container, health = record.container, record.health
        if container is None or not container.up or container.address is None or health is None:
            return None
        if health.connection is not ConnectionState.ONLINE:
            return None
        return BotEndpoint(container.address, record.bot.runtime_token, health.events.spool_id)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._sweeps(), name="sweeps")
                tasks.create_task(self._engine_events(), name="engine-events")
                tasks.create_task(self._flushes(), name="flushes")
                for number in range(self._settings.reconcile_workers):
                    tasks.create_task(self._work(), name=f"worker-{number}")
        finally:
            self.queue.close()
            await self._monitor.close()

    # Wake-ups

    def on_change(self, bot_id: str) -> None:
        """A notification of Postgres: the bot's row was written."""
        record = self._records.setdefault(bot_id, BotState(bot_id=bot_id))
        record.bot_dirty = True
        self._wake(bot_id)

    def request_sweep(self) -> None:
        """Have everything looked at now: something may have been missed."""
        self._sweep_now.set()

    def _wake(self, bot_id: str) -> None:
        self.queue.add(bot_id)
        self._metrics.queue_depth.set(self.queue.depth)

    async def _engine_events(self) -> None:
        async for event in self._engine.events():
            self._on_engine_event(event)

    def _on_engine_event(self, event: EngineEvent) -> None:
        if event.kind is EngineEventKind.CONNECTED:
            self._engine_away = False
            self.request_sweep()
            return
        record = self._records.get(event.bot_id or "")
        if record is None or record.is_own_start(event):
            return
        record.observed_dirty = True
        self._wake(record.bot_id)

    # Work

    async def _work(self) -> None:
        while True:
            bot_id = await self.queue.get()
            self._metrics.queue_depth.set(self.queue.depth)
            try:
                await self._reconcile(bot_id)
            finally:
                self.queue.done(bot_id)

    async def _reconcile(self, bot_id: str) -> None:
        record = self._records.get(bot_id)
        if record is None:
            return
        try:
            requeue_after = await self._worker.reconcile(record)
        except LeadershipLostError:
            raise
        except EngineUnavailableError as exc:
            self._failed(record, "engine-unavailable", exc)
        except EngineError as exc:
            self._failed(record, exc.code, exc)
        except Exception as exc:  # noqa: BLE001, RUF100 - one bot's trouble must not end the controller
            self._failed(record, "error", exc)
        else:
            self._errors.pop(bot_id, None)
            self._metrics.reconciles.labels(result="ok").inc()
            if requeue_after is not None:
                self.queue.add_later(bot_id, requeue_after)
        self._sync_watch(record)
        if record.bot is None and not record.bot_dirty:
            self._records.pop(bot_id, None)

    def _failed(self, record: BotState, result: str, exc: Exception) -> None:
        failures = self._errors[record.bot_id] = self._errors.get(record.bot_id, 0) + 1
        delay = min(ERROR_FIRST_DELAY * 2.0 ** min(failures - 1, 16), ERROR_MAX_DELAY)
        self._metrics.reconciles.labels(result=result).inc()
        detail = exc if isinstance(exc, EngineError) else type(exc).__name__
        level = logging.WARNING
        if isinstance(exc, EngineUnavailableError):
            self._say_engine_away(exc)
            level = logging.DEBUG
        log.log(level, "bot %s: %s: %s; again in %.1f s", record.bot_id, result, detail, delay)
        if result == "error":
            log.debug("bot %s", record.bot_id, exc_info=exc)
        record.bot_dirty = record.observed_dirty = True
        self.queue.add_later(record.bot_id, delay)

    def _say_engine_away(self, exc: EngineUnavailableError) -> None:
        """Once for all bots and attempts, until the engine is back."""
        if not self._engine_away:
            self._engine_away = True
            log.warning("%s; the bots are looked at again as soon as it answers", exc)

    def _sync_watch(self, record: BotState) -> None:
        container, probed = record.container, record.probed
        if record.bot is None or container is None or probed is None or not container.up:
            self._monitor.drop(record.bot_id)
            return
        if container.address is None:
            # Cut off from its network: a watch that exists finds out, and so does the startup deadline.
            return
        target = ProbeTarget(record.bot_id, container.id, container.address, probed.since, record.bot.runtime_token)
        self._monitor.sync(target, spool=record.spool_id, after=record.spool_seq)
        if record.configured < record.bot.config_generation:
            record.configured = record.bot.config_generation
            self._monitor.ask(record.bot_id)

    # Sweeps

    async def _sweeps(self) -> None:
        while True:
            self._sweep_now.clear()
            delay = self._settings.resync_interval
            try:
                await self.sweep()
            except LeadershipLostError:
                raise
            except EngineUnavailableError as exc:
                self._say_engine_away(exc)
                delay = 1.0
            except EngineError as exc:
                log.warning("sweep: %s", exc)
                delay = 1.0
            except Exception as exc:  # noqa: BLE001, RUF100 - the next sweep tries again
                log.warning("sweep: %s", type(exc).__name__)
                log.debug("sweep", exc_info=exc)
                delay = 1.0
            try:
                async with asyncio.timeout(delay):
                    await self._sweep_now.wait()
            except TimeoutError:
                pass

    async def sweep(self) -> None:
        """Look at everything once; see `sweep.py`."""
        adopted = await self._sweeper.sweep()
        for bot_id in self._records:
            self._wake(bot_id)
        if not self.swept.is_set():
            log.info("adopted %d running containers of %d bots", adopted, len(self._records))
            self.swept.set()

    async def _flushes(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_INTERVAL)
            try:
                await self._store.write(list(self._records.values()))
            except LeadershipLostError:
                raise
            except Exception as exc:  # noqa: BLE001, RUF100 - the next flush writes the same values
                log.warning("status was not written: %s", type(exc).__name__)
                if not is_unavailable(exc):
                    await self._flush_one_by_one()

    async def _flush_one_by_one(self) -> None:
        """One bot's values that Postgres refuses must not keep back those of the others."""
        for record in list(self._records.values()):
            try:
                await self._store.write([record])
            except LeadershipLostError:
                raise
            except Exception as exc:  # noqa: BLE001, RUF100 - the next flush writes the same values
                log.warning("status of bot %s was not written: %s", record.bot_id, type(exc).__name__)
