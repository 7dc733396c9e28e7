"""The sweep of a server: reads all rows, lists all containers, and removes orphans.

The sweep alone is enough for correctness; notifications and engine events only make things happen sooner. Orphans
(containers with our labels and no bot) are removed when a sweep still finds them `ORPHAN_SECONDS` after one first did,
and never by a sweep that could not read the database. Volumes without a bot are reported, never removed.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from orchestrator.db.models import Bot, BotStatus
from orchestrator.engine.base import (
    Engine,
    EngineError,
    EngineUnavailableError,
    Label,
    ObservedContainer,
    ObservedVolume,
)
from orchestrator.reconcile.bot_state import BotState, BotStates
from orchestrator.reconcile.container_spec import network_name
from orchestrator.reconcile.metrics import Metrics
from orchestrator.reconcile.status_store import StatusStore
from orchestrator.reconcile.volumes import orphaned
from orchestrator.settings import Settings

log = logging.getLogger(__name__)

ORPHAN_SECONDS = 10.0
"""How long a container must have had no bot: two sweeps may follow each other within milliseconds."""
HELD_UP_SECONDS = 5.0
"""How long the removal of an orphan is waited for: the engine may not answer for a minute."""


class Sweeper:
    """Compares rows and containers with the known states, and marks those that differ."""

    def __init__(
        self,
        *,
        engine: Engine,
        store: StatusStore,
        settings: Settings,
        clock: Callable[[], float],
        states: BotStates,
        metrics: Metrics,
    ) -> None:
        self._engine = engine
        self._store = store
        self._settings = settings
        self._clock = clock
        self._states = states
        self._metrics = metrics
        self._suspects: dict[str, float] = {}
        self._orphans: list[ObservedContainer] = []
        """Those that the next `remove_orphans` removes."""
        self._removals: dict[str, asyncio.Task[None]] = {}
        """Removals that have not ended, by container."""
        self._suspected_volumes: dict[str, float] = {}
        self._reported_volumes: set[str] = set()
        self._network_failure = ""
        self._swept = False
        """A sweep was completed: all bots are known, unless a notification was missed."""

    async def sweep(self) -> int:
        """Read all rows, list all containers, and mark what differs; the number of running containers.

        Raises EngineError, LeadershipLostError and what SQLAlchemy raises when Postgres is unavailable; no orphan is
        found then.
        """
        await self._ensure_network()
        # Containers first: in the other order, a bot created between the two reads would look like an orphan.
        containers = await self._engine.list_containers()
        volumes = await self._engine.list_volumes()
        of_bots: dict[str, list[ObservedContainer]] = {}
        for container in containers:
            of_bots.setdefault(container.labels.get(Label.BOT_ID, ""), []).append(container)
        uids: dict[str, str] = {}
        own: dict[str, ObservedContainer | None] = {}
        first: list[tuple[Bot, BotStatus]] = []

        def take(rows: Sequence[tuple[Bot, BotStatus]]) -> None:
            for bot, status in rows:
                uids[bot.id] = bot.uid
                own[bot.id] = _own(of_bots.get(bot.id, ()), bot.resource_name)
                if self._swept:
                    self._compare(bot, status, own[bot.id])
            if not self._swept:
                first.extend(rows)

        await self._store.read_bots(take)
        # The first time all together: a worker could otherwise forget a bot that is deleted, before its row is taken.
        for bot, status in first:
            self._compare(bot, status, own[bot.id])
        self._states.stale.update(self._states.by_id.keys() - own.keys())
        self._report_volumes(orphaned(volumes, uids))
        self._find_orphans(containers, own)
        self._swept = True
        return sum(1 for found in own.values() if found is not None and found.up)

    async def _ensure_network(self) -> None:
        """Only new containers need it, and report if it is missing: bots that run are adopted in any case."""
        failure = ""
        try:
            await self._engine.ensure_network(network_name(self._settings.server_name))
        except EngineUnavailableError:
            raise
        except EngineError as exc:
            failure = str(exc)
        if failure and failure != self._network_failure:
            log.error("%s", failure)
        self._network_failure = failure

    def _compare(self, bot: Bot, status: BotStatus, container: ObservedContainer | None) -> None:
        state = self._states.by_id.get(bot.id)
        if state is None:
            state = self._states.by_id[bot.id] = BotState.from_rows(bot, status)
            state.container, state.observed_dirty = container, False
            if self._swept:
                # Perhaps it was deleted, and forgotten by its worker, since the rows were read.
                self._states.stale.add(bot.id)
            return
        if not _same(state.bot, bot):
            # Not taken from here: a worker may have read a newer row meanwhile, or may be in the middle of a round.
            self._states.stale.add(bot.id)
        if not status.memory and state.written.get("memory"):
            # The row was lost and created again.
            state.written.clear()
        seen = state.container
        if seen is None or container is None or _listed(seen) != _listed(container):
            # The list holds less than an inspection, and may be older than what a worker just did.
            state.observed_dirty = seen is not None or container is not None

    def _find_orphans(
        self, containers: Iterable[ObservedContainer], own: Mapping[str, ObservedContainer | None]
    ) -> None:
        orphans = {
            container.id: container
            for container in containers
            if own.get(container.labels.get(Label.BOT_ID, "")) is not container
        }
        self._suspects, due = self._seen_for_long(self._suspects, orphans)
        self._orphans = [orphans[container_id] for container_id in due]

    async def remove_orphans(self) -> None:
        """Remove what the sweep has found. Separate, because bots must not wait for it.

        Raises EngineUnavailableError, LeadershipLostError and what SQLAlchemy raises when Postgres is unavailable.
        """
        orphans, self._orphans = self._orphans, []
        for orphan in orphans:
            if orphan.id in self._removals:
                continue
            log.warning("removing orphan container %s: it belongs to no bot", orphan.name)
            await self._store.check_leadership()
            removal = self._removals[orphan.id] = asyncio.create_task(self._remove(orphan))
            removal.add_done_callback(partial(self._removed, orphan.id))
            done, _ = await asyncio.wait({removal}, timeout=HELD_UP_SECONDS)
            if done:
                await removal

    async def _remove(self, orphan: ObservedContainer) -> None:
        try:
            await self._engine.remove(orphan.id)
        except EngineUnavailableError:
            raise
        except EngineError as exc:
            # One that the engine cannot remove must hold up neither the others nor the bots.
            log.warning("%s; retrying in the next sweep", exc)
        else:
            self._metrics.orphans.inc()

    def _removed(self, container_id: str, removal: asyncio.Task[None]) -> None:
        del self._removals[container_id]
        if not removal.cancelled():
            removal.exception()  # of no interest once nobody waits for it

    def _report_volumes(self, orphans: list[ObservedVolume]) -> None:
        """Volumes are never removed here: a session whose bot is unknown may still be needed."""
        self._suspected_volumes, due = self._seen_for_long(self._suspected_volumes, [item.name for item in orphans])
        for name in due - self._reported_volumes:
            log.warning("the volume %s belongs to no bot: see `botdock volumes list`", name)
        self._reported_volumes = due
        self._metrics.orphaned_volumes.set(len(due))

    def _seen_for_long(self, suspects: dict[str, float], orphans: Iterable[str]) -> tuple[dict[str, float], set[str]]:
        """Since when each of these has been seen without a bot, and those for which it has been long enough."""
        now = self._clock()
        since = {orphan: suspects.get(orphan, now) for orphan in orphans}
        seconds = min(ORPHAN_SECONDS, self._settings.resync_interval)
        return since, {orphan for orphan, first in since.items() if now - first >= seconds}


def _own(containers: Sequence[ObservedContainer], name: str) -> ObservedContainer | None:
    """The container of a bot: the one with the right name, if there are several with its label."""
    return next((found for found in containers if found.name == name), containers[0] if containers else None)


def _listed(container: ObservedContainer) -> tuple[object, ...]:
    """What the engine's list reports reliably about a container."""
    return container.id, container.name, container.state, container.address


def _same(one: Bot, other: Bot) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in Bot.model_fields)
