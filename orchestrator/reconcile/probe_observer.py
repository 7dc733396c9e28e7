"""What probes and events of running bots mean for their records: the `Observer` of `probes.py`."""

from collections.abc import Callable
from dataclasses import replace

import msgspec

from bot_runtime.contract import ConnectionState, EventPage, Health, RuntimeConfig, Secrets
from orchestrator.reconcile.bot_state import BotState
from orchestrator.reconcile.container_spec import InvalidBotError, runtime_config
from orchestrator.reconcile.metrics import Metrics
from orchestrator.reconcile.probes import FailedProbe, ProbeTarget
from orchestrator.reconcile.status_store import StatusStore
from orchestrator.settings import Settings

BLIND_BOTS = 3
BLIND_PROBES = 2
"""So many bots, and not one answer in the time of so many probes: then it is us."""
_CALM = {ConnectionState.ONLINE, ConnectionState.CONNECTING, ConnectionState.PAIRING, ConnectionState.CLOSING}
"""States in which an earlier error of the connection is no news."""


class ProbeObserver:
    """Shares the records with the fleet; `wake` has a bot reconciled, `on_online` tells that one has come online."""

    def __init__(
        self,
        *,
        records: dict[str, BotState],
        store: StatusStore,
        settings: Settings,
        clock: Callable[[], float],
        metrics: Metrics,
        wake: Callable[[str], None],
        on_online: Callable[[str], None],
    ) -> None:
        self._records = records
        self._store = store
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._wake = wake
        self._on_online = on_online
        self._last_answer = clock()

    def on_probe(self, target: ProbeTarget, result: Health | FailedProbe) -> None:
        """Take a probe's result over; have the bot reconciled when it changes anything but a heartbeat."""
        record = self._records.get(target.bot_id)
        if record is None or record.probed is None or record.container is None:
            return
        if (record.container.id, record.probed.since) != (target.container_id, target.run):
            return
        before = record.probed
        if isinstance(result, FailedProbe):
            self._metrics.probes.labels(result="failed").inc()
            failures = 0 if result.alive else before.failures + 1
            connection = None if result.alive else before.connection
            record.probed = replace(
                before,
                failures=failures,
                failing=failures >= self._settings.probe_failure_threshold,
                failure=result.message,
                connection=connection,
            )
        else:
            self._metrics.probes.labels(result="ok").inc()
            self._last_answer = self._clock()
            record.health = result
            if result.connection is not ConnectionState.CONNECTING:
                record.paired_number = result.phone_number
            if not before.seen:
                record.known = replace(record.known, healthy_since=record.known.healthy_since or self._clock())
            fault = result.last_error
            record.probed = replace(
                before,
                seen=True,
                failing=False,
                failures=0,
                failure="",
                connection=result.connection,
                connection_message="" if fault is None or result.connection in _CALM else fault.message,
            )
            if result.connection is ConnectionState.ONLINE is not before.connection:
                self._on_online(target.bot_id)
        if replace(record.probed, failures=0) != replace(before, failures=0):
            self._wake(target.bot_id)

    def blind(self) -> bool:
        """Whether not one of several bots has answered for so long that the fault is on our side."""
        watched = sum(1 for record in self._records.values() if record.probed is not None)
        silence = self._clock() - self._last_answer
        return watched >= BLIND_BOTS and silence > BLIND_PROBES * (
            self._settings.probe_interval + self._settings.probe_timeout
        )

    def wanted_generation(self, bot_id: str) -> int:
        """The generation of the configuration that a bot's runtime should have."""
        record = self._records.get(bot_id)
        return 0 if record is None or record.bot is None else record.bot.config_generation

    async def wanted_config(self, bot_id: str) -> RuntimeConfig | None:
        """The configuration that a bot's runtime should have, read when it is needed."""
        found = await self._store.config(bot_id)
        if found is None:
            return None
        bot, commands, taken_over = found
        try:
            config = runtime_config(bot, self._settings, commands)
        except InvalidBotError:
            return None
        return msgspec.structs.replace(config, taken_over=taken_over)

    def secrets(self) -> Secrets | None:
        """What is pushed to every new process of a bot and written nowhere."""
        settings = self._settings
        if settings.openai_api_key is None:
            return None
        return Secrets(
            openai_api_key=settings.openai_api_key.get_secret_value(), openai_base_url=settings.openai_base_url
        )

    async def take_events(self, bot_id: str, page: EventPage) -> None:
        """Keep a page of a bot's events."""
        record = self._records[bot_id]
        # One transaction per bot at a time: whoever follows its events by id must never see a later id first.
        async with record.writing:
            await self._store.ingest(bot_id, page)
        record.spool_id, record.spool_seq = page.spool_id, page.next
        self._metrics.events.inc(len(page.items))
