"""The controller process: waits for its turn, acts for its server, and stands back when it loses the lock.

Bots never depend on it: a controller that stops leaves their containers running, and the next one adopts them.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random

import psycopg

from orchestrator.clients.bot import BotEndpoint
from orchestrator.controller.leader import LeaderLock, leadership
from orchestrator.controller.notifications import listen
from orchestrator.db.fence import LeadershipLostError
from orchestrator.db.session import Database
from orchestrator.engine.base import Engine
from orchestrator.outbox.dispatcher import Dispatcher
from orchestrator.outbox.store import OutboxStore
from orchestrator.reconcile.metrics import Metrics
from orchestrator.reconcile.reconciler import Reconciler
from orchestrator.reconcile.status_store import StatusStore, begin_epoch
from orchestrator.settings import Settings

log = logging.getLogger(__name__)

SEEN_INTERVAL = 10.0
PRUNE_INTERVAL = 3600.0
RETRY_DELAY = 1.0


class Controller:
    """Runs the fleet of one server whenever this process holds the server's lock."""

    def __init__(self, *, settings: Settings, database: Database, engine: Engine, owner: str, metrics: Metrics) -> None:
        self._settings = settings
        self._database = database
        self._engine = engine
        self._owner = owner
        self._metrics = metrics
        self.fleet: Reconciler | None = None
        """The fleet while this process acts, None while it stands by."""
        self._standing_by = False

    @property
    def ready(self) -> bool:
        """Acting, and the first sweep has adopted what runs."""
        return self.fleet is not None and self.fleet.swept.is_set()

    @property
    def standing_by(self) -> bool:
        """Connected to Postgres, and another controller acts."""
        return self._standing_by

    async def run(self) -> None:
        """Act or stand by until cancelled."""
        while True:
            try:
                async with leadership(self._settings, on_standby=self._on_standby) as lease:
                    self._standing_by = False
                    await self._lead(lease)
            except* (psycopg.Error, OSError) as group:
                log.warning("Postgres is away: %s", type(group.exceptions[0]).__name__)
            except* LeadershipLostError as group:
                log.warning("standing back: %s", group.exceptions[0])
            except* Exception as group:
                # The bots' containers run on; another try is better than a controller that is gone.
                log.exception("the controller failed", exc_info=group)
            self._standing_by = False
            await asyncio.sleep(RETRY_DELAY)

    def _on_standby(self) -> None:
        log.info("another controller acts for server %s; standing by", self._settings.server_name)
        self._standing_by = True

    async def _lead(self, lease: LeaderLock) -> None:
        settings = self._settings
        epoch = await begin_epoch(self._database, server=settings.server_name, default_max_bots=settings.botcount)
        store = StatusStore(self._database, server=settings.server_name, epoch=epoch)
        outbox = OutboxStore(self._database, server=settings.server_name, epoch=epoch)
        dispatcher = Dispatcher(bots=self, store=outbox, settings=settings, on_result=self._metrics.count_message)
        fleet = Reconciler(
            engine=self._engine,
            store=store,
            settings=settings,
            owner=self._owner,
            epoch=epoch,
            clock=time.time,
            random=Random(),  # noqa: S311 - spreads restarts and probes; guards nothing
            metrics=self._metrics,
            on_online=dispatcher.online,
        )
        log.info("acting for server %s, epoch %d", settings.server_name, epoch)
        self.fleet = fleet
        self._metrics.leader.set(1)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_until_lost(lease), name="lease")
                changes = listen(
                    settings, on_change=fleet.on_change, on_message=dispatcher.wake, on_gap=_both(fleet, dispatcher)
                )
                tasks.create_task(changes, name="changes")
                tasks.create_task(self._housekeeping(store, outbox), name="housekeeping")
                tasks.create_task(fleet.run(), name="fleet")
                tasks.create_task(dispatcher.run(), name="outbox")
        finally:
            self.fleet = None
            self._metrics.leader.set(0)

    def endpoint(self, bot_id: str) -> BotEndpoint | None:
        """Where a bot can be asked to send, while this process acts and the bot is online."""
        return None if self.fleet is None else self.fleet.endpoint(bot_id)

    async def _housekeeping(self, store: StatusStore, outbox: OutboxStore) -> None:
        """Say that we are here, and drop old events and messages. Trouble with Postgres is left to the next round."""
        address = f"{_own_address(self._settings)}:{self._settings.controller_port}"
        next_prune = 0.0
        while True:
            try:
                await store.seen(address)
                if time.monotonic() >= next_prune:
                    dropped = await store.prune_events(days=self._settings.event_retention_days)
                    next_prune = time.monotonic() + PRUNE_INTERVAL
                    await outbox.prune(days=self._settings.message_retention_days)
                    log.info("dropped %d events older than %d days", dropped, self._settings.event_retention_days)
            except LeadershipLostError:
                raise
            except Exception as exc:  # noqa: BLE001, RUF100
                log.warning("housekeeping: %s", type(exc).__name__)
            await asyncio.sleep(SEEN_INTERVAL)


def _both(fleet: Reconciler, dispatcher: Dispatcher) -> Callable[[], None]:
    def on_gap() -> None:
        fleet.request_sweep()
        dispatcher.request_sweep()

    return on_gap


async def _until_lost(lease: LeaderLock) -> None:
    await lease.lost.wait()
    raise LeadershipLostError("the leader lock is lost")


def _own_address(settings: Settings) -> str:
    """The host under which the api reaches this controller: its own, unless it listens on loopback alone."""
    if settings.controller_host not in {"0.0.0.0", "::"}:
        return settings.controller_host
    with suppress(OSError):
        return socket.gethostbyname(socket.gethostname())
    return "127.0.0.1"
