"""The controller process: becomes the leader of its server or waits as a standby, and steps down without its lease.

Bots never depend on it: a controller that stops leaves their containers running, and the next leader adopts them.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from random import Random
from typing import Any

import psycopg

from orchestrator.clients.bot import BotEndpoint
from orchestrator.controller.binding import BindingCheck
from orchestrator.controller.leader import Lease, leadership
from orchestrator.controller.notifications import listen
from orchestrator.controller.settings_summary import differing, summarize
from orchestrator.db import servers
from orchestrator.db.fence import LeadershipLostError
from orchestrator.db.leases import BoundElsewhereError
from orchestrator.db.session import Database
from orchestrator.engine.base import Engine, EngineError, WrongEngineError
from orchestrator.outbox.dispatcher import Dispatcher
from orchestrator.outbox.store import OutboxStore
from orchestrator.reconcile.metrics import Metrics
from orchestrator.reconcile.reconciler import Reconciler
from orchestrator.reconcile.status_store import StatusStore
from orchestrator.settings import Settings

log = logging.getLogger(__name__)

SEEN_INTERVAL_SECONDS = 10.0
PRUNE_INTERVAL_SECONDS = 3600.0
PRUNE_RETRY_SECONDS = 60.0
RETRY_DELAY_SECONDS = 1.0
COMPARE_INTERVAL_SECONDS = 3.0
"""Between two comparisons of a standby's settings with the leader's."""


class Controller:
    """Runs the reconciler and the dispatcher of one server while this process holds the server's lease."""

    def __init__(self, *, settings: Settings, database: Database, engine: Engine, owner: str, metrics: Metrics) -> None:
        self.server = settings.server_name
        self._settings = settings
        self._database = database
        self._engine = engine
        self._owner = owner
        self._metrics = metrics
        self.reconciler: Reconciler | None = None
        """Set while this process is the leader."""
        self._summary = summarize(settings, installation=owner)
        self._standby = asyncio.Event()
        """Set while another controller is the leader."""
        self._differing: tuple[str, ...] = ()
        self._binding = BindingCheck(settings=settings, engine=engine, metrics=metrics)
        self._engine_failure = ""

    @property
    def refusal(self) -> str:
        """Why this controller may not lead with its engine; empty if it may."""
        return self._binding.refusal

    @property
    def ready(self) -> bool:
        """Leader, and the first sweep has adopted the running containers."""
        return self.reconciler is not None and self.reconciler.swept.is_set()

    @property
    def is_standby(self) -> bool:
        """Connected to Postgres, and another controller is the leader."""
        return self._standby.is_set()

    @property
    def differing_settings(self) -> tuple[str, ...]:
        """While this process is a standby, the settings that a takeover would change, by name."""
        return self._differing if self.is_standby else ()

    async def run(self) -> None:
        """Lead or stand by until cancelled."""
        comparison = asyncio.create_task(self._compare_settings(), name="settings")
        try:
            await self._terms()
        finally:
            comparison.cancel()
            await asyncio.gather(comparison, return_exceptions=True)

    async def _terms(self) -> None:
        while True:
            # A task of its own: an error while a term is cancelled must not hide that this one was cancelled, too.
            term = asyncio.create_task(self._term(), name="term")
            try:
                await asyncio.wait({term})
            finally:
                term.cancel()
                await asyncio.gather(term, return_exceptions=True)
            await asyncio.sleep(RETRY_DELAY_SECONDS)

    async def _term(self) -> None:
        """Wait for the lease, and lead until it is lost or an error ends the term."""
        try:
            engine_id = await self._engine.identity()
            if not await self._binding.permits(engine_id):
                return
            self._engine_failure = ""
            self._engine.bind(engine_id)
            async with leadership(self._settings, engine_id=engine_id, on_standby=self._on_standby) as lease:
                self._standby.clear()
                await self._lead(lease)
        except* (psycopg.Error, OSError) as group:
            log.warning("Postgres is unavailable: %s", type(group.exceptions[0]).__name__)
        except* (LeadershipLostError, WrongEngineError) as group:
            log.warning("stepping down: %s", _first(group))
        except* EngineError as group:
            self._log_engine_failure(str(_first(group)))
        except* BoundElsewhereError:
            pass  # the next term reports it
        except* Exception as group:
            # The bots' containers keep running; retrying is better than a controller that has exited.
            log.exception("the controller failed", exc_info=group)
        finally:
            self._standby.clear()

    def _log_engine_failure(self, failure: str) -> None:
        """Once, not for every attempt."""
        if failure != self._engine_failure:
            self._engine_failure = failure
            log.warning("%s; retrying", failure)

    def _on_standby(self) -> None:
        log.info("another controller is the leader for server %s; standing by", self._settings.server_name)
        self._standby.set()

    async def _compare_settings(self) -> None:
        """Report a standby whose settings are not the leader's: a takeover would change the bots."""
        while True:
            await self._standby.wait()
            try:
                async with self._database.session() as session:
                    leaders = await servers.leader_settings(session, self._settings.server_name)
            except Exception as exc:  # noqa: BLE001, RUF100 - Postgres is unavailable
                log.debug("the leader's settings could not be read: %s", type(exc).__name__)
            else:
                before, self._differing = self._differing, differing(self._summary, leaders)
                if self._differing and self._differing != before:
                    log.warning(
                        "these settings differ from the leader's and would apply after a takeover: %s",
                        ", ".join(self._differing),
                    )
            await asyncio.sleep(COMPARE_INTERVAL_SECONDS)

    async def _lead(self, lease: Lease) -> None:
        settings, epoch = self._settings, lease.epoch
        self._engine.guard(lease.check)
        store = StatusStore(self._database, server=settings.server_name, epoch=epoch)
        outbox = OutboxStore(self._database, server=settings.server_name, epoch=epoch)
        dispatcher = Dispatcher(
            bots=self,
            store=outbox,
            settings=settings,
            on_result=self._metrics.count_message,
            on_violation=lambda bot_id, message: reconciler.observer.on_violation(bot_id, message),
            check=lease.check,
        )
        reconciler = Reconciler(
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
        log.info("leader for server %s, epoch %d", settings.server_name, epoch)
        self.reconciler = reconciler
        self._metrics.leader.set(1)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_until_lost(lease), name="lease")
                changes = listen(
                    settings,
                    on_change=reconciler.on_change,
                    on_message=dispatcher.wake,
                    on_gap=_both(reconciler, dispatcher),
                )
                tasks.create_task(changes, name="changes")
                tasks.create_task(self._report_presence(store), name="presence")
                tasks.create_task(self._prune(store, outbox), name="prune")
                tasks.create_task(reconciler.run(), name="reconciler")
                tasks.create_task(dispatcher.run(), name="outbox")
        finally:
            self.reconciler = None
            self._metrics.leader.set(0)

    def endpoint(self, bot_id: str) -> BotEndpoint | None:
        """Where to call a bot, while this process is the leader and the bot is online."""
        return None if self.reconciler is None else self.reconciler.endpoint(bot_id)

    async def _report_presence(self, store: StatusStore) -> None:
        """Record again and again that the leader is alive. By itself, because deleting old rows may take minutes."""
        # In a thread: a name server that does not respond would hold up the renewal of the lease.
        address = f"{await asyncio.to_thread(_own_address, self._settings)}:{self._settings.controller_port}"
        while True:
            try:
                await store.seen(address, self._summary)
            except LeadershipLostError:
                raise
            except Exception as exc:  # noqa: BLE001, RUF100 - the next round writes the same
                log.warning("recording the leader failed: %s", type(exc).__name__)
            await asyncio.sleep(SEEN_INTERVAL_SECONDS)

    async def _prune(self, store: StatusStore, outbox: OutboxStore) -> None:
        """Delete old events and messages. What fails is tried again soon; neither holds up the other."""
        settings = self._settings
        while True:
            delay = PRUNE_INTERVAL_SECONDS
            for name, prune in (
                ("events", partial(store.prune_events, days=settings.event_retention_days)),
                ("messages", partial(outbox.prune, days=settings.message_retention_days)),
            ):
                try:
                    deleted = await prune()
                except LeadershipLostError:
                    raise
                except Exception as exc:  # noqa: BLE001, RUF100 - tried again
                    log.warning("deleting old %s failed: %s", name, type(exc).__name__)
                    delay = PRUNE_RETRY_SECONDS
                else:
                    log.info("deleted %d old %s", deleted, name)
            await asyncio.sleep(delay)


def _both(reconciler: Reconciler, dispatcher: Dispatcher) -> Callable[[], None]:
    def on_gap() -> None:
        reconciler.request_sweep()
        dispatcher.request_sweep()

    return on_gap


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    """The first exception in a group of groups."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


async def _until_lost(lease: Lease) -> None:
    await lease.until_lost()
    lease.check()


def _own_address(settings: Settings) -> str:
    """The host under which the api reaches this controller: its own, unless it listens on loopback alone.

    Not one in the bots' networks, where the controller does not answer.
    """
    if settings.controller_host not in {"0.0.0.0", "::"}:
        return settings.controller_host
    addresses: list[str] = []
    with suppress(OSError):
        addresses = socket.gethostbyname_ex(socket.gethostname())[2]
    pool = IPv4Network(settings.bot_network_pool)
    return next((address for address in addresses if IPv4Address(address) not in pool), "127.0.0.1")
