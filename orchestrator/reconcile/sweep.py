"""The full look at a server: all rows, all containers, and what belongs to nobody.

Alone it is enough to be right; notifications and hints only make things happen sooner. Orphans (containers with our
labels for bots that do not exist) are removed when a later sweep, some seconds after the first, still sees them, and
never by a sweep that could not read the database.
"""

import logging
from collections.abc import Callable

from orchestrator.db.models import Bot, BotStatus
from orchestrator.engine.base import Engine, Label, ObservedContainer
from orchestrator.reconcile.bot_state import BotState
from orchestrator.reconcile.container_spec import network_name, resource_name
from orchestrator.reconcile.metrics import Metrics
from orchestrator.reconcile.status_store import StatusStore
from orchestrator.settings import Settings

log = logging.getLogger(__name__)

ORPHAN_SECONDS = 10.0
"""How long a container must have belonged to nobody: two sweeps may follow each other within milliseconds."""


class Sweeper:
    """Compares what is wanted and what runs, and marks the records that have to be looked at."""

    def __init__(
        self,
        *,
        engine: Engine,
        store: StatusStore,
        settings: Settings,
        clock: Callable[[], float],
        records: dict[str, BotState],
        metrics: Metrics,
    ) -> None:
        self._engine = engine
        self._store = store
        self._settings = settings
        self._clock = clock
        self._records = records
        self._metrics = metrics
        self._suspects: dict[str, float] = {}

    async def sweep(self) -> int:
        """Read all rows, list all containers, mark what differs and remove orphans; how many bots' containers run.

        Raises EngineError, LeadershipLostError and what SQLAlchemy raises when Postgres is unavailable; nothing was
        removed then.
        """
        await self._engine.ensure_network(network_name(self._settings.server_name))
        # Containers first: the other way round, a bot made between the two reads would look like an orphan.
        containers = await self._engine.list_containers()
        rows = await self._store.bots()
        by_bot = self._by_bot(containers)
        for bot, status in rows:
            self._take_row(bot, status, by_bot.get(bot.id))
        known = {bot.id for bot, _ in rows}
        for bot_id, record in self._records.items():
            if bot_id not in known and record.bot is not None:
                record.bot_dirty = True
        await self._collect(containers, known, by_bot)
        return sum(1 for bot_id in known if (found := by_bot.get(bot_id)) is not None and found.up)

    def _by_bot(self, containers: list[ObservedContainer]) -> dict[str, ObservedContainer]:
        """Each bot's container; where there are two, the one with the right name."""
        result: dict[str, ObservedContainer] = {}
        for container in containers:
            bot_id = container.labels.get(Label.BOT_ID, "")
            right = container.name == resource_name(self._settings.server_name, bot_id)
            if right or bot_id not in result:
                result[bot_id] = container
        return result

    def _take_row(self, bot: Bot, status: BotStatus, container: ObservedContainer | None) -> None:
        record = self._records.setdefault(bot.id, BotState(bot_id=bot.id))
        if not record.loaded:
            record.load(bot, status)
            record.container, record.observed_dirty = container, False
            return
        if record.bot is None or not _same(record.bot, bot):
            # Not taken from here: a worker may have read a newer row meanwhile, and may be in the middle of a round.
            record.bot_dirty = True
        seen = record.container
        if seen is None or container is None or _shown(seen) != _shown(container):
            # The list tells less than an inspection, and may be older than what a worker just did.
            record.observed_dirty = seen is not None or container is not None

    async def _collect(
        self, containers: list[ObservedContainer], known: set[str], by_bot: dict[str, ObservedContainer]
    ) -> None:
        orphans = {
            container.id: container
            for container in containers
            if (bot_id := container.labels.get(Label.BOT_ID, "")) not in known or by_bot[bot_id].id != container.id
        }
        now = self._clock()
        self._suspects = {container_id: self._suspects.get(container_id, now) for container_id in orphans}
        for container_id, since in self._suspects.items():
            if now - since < min(ORPHAN_SECONDS, self._settings.resync_interval):
                continue
            log.warning("removing orphan container %s: no bot wants it", orphans[container_id].name)
            await self._engine.remove(container_id)
            self._metrics.orphans.inc()


def _shown(container: ObservedContainer) -> tuple[object, ...]:
    """What the engine's list tells reliably of a container."""
    return container.id, container.name, container.state, container.address


def _same(one: Bot, other: Bot) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in Bot.model_fields)
