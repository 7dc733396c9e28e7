"""Applies probe results and events of running bots to their states: the `Observer` of `probes.py`."""

import logging
from collections.abc import Callable
from dataclasses import replace

import msgspec

from bot_runtime.contract import ConnectionState, EventPage, Health, RuntimeConfig, Secrets
from orchestrator.reconcile.bot_state import BotState, BotStates
from orchestrator.reconcile.connection_message import connection_message
from orchestrator.reconcile.container_spec import InvalidBotError, runtime_config
from orchestrator.reconcile.ingestion import ingest
from orchestrator.reconcile.liveness import FleetProbes, LivenessPolicy
from orchestrator.reconcile.metrics import Metrics
from orchestrator.reconcile.plan import ProbeResult
from orchestrator.reconcile.probes import FailedProbe, ProbeTarget
from orchestrator.reconcile.status_store import StatusStore
from orchestrator.settings import Settings

log = logging.getLogger(__name__)

VIOLATION_SECONDS = 60.0
"""How long a bot that broke its protocol is shown as one that does."""


class ProbeObserver:
    """Shares the states with the reconciler. `wake` requeues a bot, `on_online` reports that one came online."""

    def __init__(
        self,
        *,
        states: BotStates,
        store: StatusStore,
        settings: Settings,
        clock: Callable[[], float],
        metrics: Metrics,
        wake: Callable[[str], None],
        on_online: Callable[[str], None],
    ) -> None:
        self._states = states
        self._store = store
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._wake = wake
        self._on_online = on_online
        self._liveness = LivenessPolicy(
            recovery_seconds=settings.probe_failure_threshold * (settings.probe_interval + settings.probe_timeout)
        )

    def on_probe(self, target: ProbeTarget, result: Health | FailedProbe) -> None:
        """Apply a probe's result; requeue the bot when more than its heartbeat changed."""
        state = self._states.by_id.get(target.bot_id)
        if state is None or state.probe is None or state.container is None:
            return
        if (state.container.id, state.probe.since) != (target.container_id, target.run):
            return
        before = state.probe
        if isinstance(result, FailedProbe):
            self._metrics.probes.labels(result="failed").inc()
            failures = 0 if result.alive else before.failures + 1
            connection = None if result.alive else before.connection
            if result.alive:  # whatever it answered: the way to it works
                state.answered_at, state.unanswered_since = self._clock(), None
            elif state.unanswered_since is None:
                state.unanswered_since = self._clock()
            state.probe = replace(
                before,
                seen=before.seen or result.violation,
                failures=failures,
                failing=failures >= self._settings.probe_failure_threshold,
                failure=result.message,
                connection=connection,
            )
            if result.violation:
                self._violated(state, state.probe, result.message)
        else:
            self._metrics.probes.labels(result="ok").inc()
            state.health = result
            state.answered_at, state.unanswered_since = self._clock(), None
            if result.connection != ConnectionState.CONNECTING:
                state.paired_number = result.phone_number
            if not before.seen:
                healthy_since = state.remembered.healthy_since or self._clock()
                state.remembered = replace(state.remembered, healthy_since=healthy_since)
            state.probe = replace(
                before,
                seen=True,
                failing=False,
                failures=0,
                failure="",
                connection=result.connection,
                connection_message=connection_message(result),
                violation=before.violation if self._is_suspect(state) else "",
            )
            if result.connection == ConnectionState.ONLINE != before.connection:
                self._on_online(target.bot_id)
        if replace(state.probe, failures=0) != replace(before, failures=0):
            self._wake(target.bot_id)

    def on_violation(self, bot_id: str, message: str) -> None:
        """Report that a bot answered something else than its health that is not within the limits."""
        state = self._states.by_id.get(bot_id)
        if state is None or state.probe is None:
            return
        before = state.probe
        self._violated(state, before, message)
        if state.probe != before:
            self._wake(bot_id)

    def _violated(self, state: BotState, probe: ProbeResult, message: str) -> None:
        self._metrics.violations.inc()
        if not self._is_suspect(state):
            log.warning("bot %s breaks its protocol: %s", state.bot_id, message)
        # The first message stays: others may follow at any rate.
        state.probe = replace(probe, seen=True, violation=probe.violation or message)
        state.violated_at = self._clock()

    def _is_suspect(self, state: BotState) -> bool:
        return state.violated_at is not None and 0 <= self._clock() - state.violated_at < VIOLATION_SECONDS

    def refusal(self, bot_id: str, reason: str) -> str:
        """Why a bot must not be replaced now for a reason that is based on probes alone; empty if it may be."""
        silent = self._states.by_id[bot_id]
        since = silent.unanswered_since or 0.0
        if reason == "startup-timeout" and silent.probe is not None:
            # Connecting to it failed from the start, perhaps because the controller has no route to any bot.
            since = silent.probe.since
        watched = [(state, state.probe) for state in self._states.by_id.values() if state.probe is not None]
        answering = [
            probe.since for state, probe in watched if probe.seen and not probe.failures and state.answered_at >= since
        ]
        fleet = FleetProbes(watched=len(watched), answering=len(answering), newest_run=max(answering, default=None))
        return self._liveness.refusal(bot_id, fleet, limited=reason == "liveness-failed", now=self._clock())

    def desired_generation(self, bot_id: str) -> int:
        """The generation of the configuration that a bot's runtime should have."""
        state = self._states.by_id.get(bot_id)
        return 0 if state is None else state.bot.config_generation

    async def outgrow(self, bot_id: str, generation: int) -> None:
        """Give the configuration that a bot should have a higher generation than this one, which its runtime has."""
        await self._store.outgrow(bot_id, generation)

    async def desired_config(self, bot_id: str) -> RuntimeConfig | None:
        """The configuration that a bot's runtime should have, read when it is needed."""
        found = await self._store.config(bot_id)
        if found is None:
            return None
        # The bot takes any of this generation: a former leader that was frozen would replace that of its successor.
        await self._store.check_leadership()
        bot, commands, taken_over = found
        try:
            config = runtime_config(bot, self._settings, commands)
        except InvalidBotError:
            return None
        return msgspec.structs.replace(config, taken_over=taken_over)

    def secrets(self) -> Secrets | None:
        """What is pushed to every new process of a bot and never written to disk."""
        settings = self._settings
        if settings.openai_api_key is None:
            return None
        return Secrets(
            openai_api_key=settings.openai_api_key.get_secret_value(), openai_base_url=settings.openai_base_url
        )

    async def take_events(self, bot_id: str, page: EventPage) -> str:
        """Store a page of a bot's events; returns which one Postgres refused, if any."""
        state = self._states.by_id[bot_id]
        # One transaction per bot at a time: a reader that follows events by id must never see a later id first.
        async with state.writing:
            refused = await ingest(self._store, state.bot, page)
        state.spool_id, state.spool_seq = page.spool_id, page.next
        self._metrics.count_events(page.items)
        return refused
