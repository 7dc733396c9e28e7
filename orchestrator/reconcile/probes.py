"""Probes running bots and ingests their events.

Every running container has one watch with two tasks. The probe task calls `GET /health` in quick succession until the
first answer (startup), then once per interval; any HTTP response counts as alive, only `Health` as ready. The event
task long-polls `GET /events` and passes pages on to be stored; an event about the connection triggers a probe at once,
so a bot is seen online within milliseconds without being polled quickly.

A watch belongs to one run of a container: results carry that run, so that a late answer is never attributed to another.
"""

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from bot_runtime.contract import EventPage, Health, RuntimeConfig, Secrets
from orchestrator.clients.bot import RuntimeClient
from orchestrator.clients.bot_errors import ProtocolViolationError, RuntimeCallError, RuntimeUnreachableError
from orchestrator.reconcile.event_reader import EventReader
from orchestrator.reconcile.pace import Allowance, Pace

log = logging.getLogger(__name__)

STARTUP_FIRST_DELAY_SECONDS = 0.05
STARTUP_MAX_DELAY_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 300.0
"""Between two probes of a bot whose answers are not within the limits."""
VIOLATIONS_AT_ONCE = 3
"""After so many, the interval is doubled with each."""
PROBES_PER_SECOND, PROBES_AT_ONCE = 1.0, 20.0
"""Besides those at intervals: a bot causes probes by its events."""

_OWN_ERRNOS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.ENETUNREACH, errno.EHOSTUNREACH}


@dataclass(frozen=True, slots=True)
class FailedProbe:
    """A probe that failed. `alive` if the bot responded, although not with its health."""

    message: str
    alive: bool
    violation: bool = False
    """It answered what is not within the limits of the contract. It is not replaced for that: a new container would do
    the same, and its runtime may only be newer."""


class Observer(Protocol):
    """Receives what the watches find out."""

    def on_probe(self, target: "ProbeTarget", result: Health | FailedProbe) -> None:
        """Called in the event loop with the result of a probe; must not block."""

    def desired_generation(self, bot_id: str) -> int:
        """The generation of the configuration that the bot should have; 0 for an unknown bot."""

    async def outgrow(self, bot_id: str, generation: int) -> None:
        """Give the configuration that the bot should have a higher generation than this one; raises when Postgres is
        unavailable."""

    async def desired_config(self, bot_id: str) -> RuntimeConfig | None:
        """The configuration that the bot should have; raises when Postgres is unavailable."""

    def secrets(self) -> Secrets | None:
        """What every process of a bot is sent once; None: nothing."""

    async def take_events(self, bot_id: str, page: EventPage) -> str:
        """Store a page of events; returns what was refused of it. Raises when that failed; the page is fetched again
        then."""

    def on_violation(self, bot_id: str, message: str) -> None:
        """Called in the event loop when the bot answered what is not within the limits; must not block."""


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """What to watch: one run of one bot's container."""

    bot_id: str
    container_id: str
    address: str
    run: float
    """When this run began; distinguishes two runs of one container."""
    token: str


class Monitor:
    """All watches. `sync` and `drop` are cheap and may be called at any rate."""

    def __init__(self, observer: Observer, *, interval_seconds: float, timeout_seconds: float, random: Random) -> None:
        self._observer = observer
        self._interval_seconds = interval_seconds
        self._timeout_seconds = timeout_seconds
        self._random = random
        self._watches: dict[str, tuple[_Watch, asyncio.Task[None]]] = {}

    def sync(self, target: ProbeTarget, *, spool: str | None, after: int, pace: Pace) -> None:
        """Watch this run of the bot's container, and stop watching an earlier one."""
        present = self._watches.get(target.bot_id)
        if present is not None:
            if present[0].target == target and not present[1].done():
                return
            self.drop(target.bot_id)
        watch = _Watch(
            self._observer,
            target,
            interval_seconds=self._interval_seconds,
            timeout_seconds=self._timeout_seconds,
            random=self._random,
            spool=spool,
            after=after,
            pace=pace,
        )
        task = asyncio.create_task(watch.run(), name=f"watch-{target.bot_id}")
        self._watches[target.bot_id] = (watch, task)

    def ask(self, bot_id: str) -> None:
        """Probe the bot now, if it is watched."""
        present = self._watches.get(bot_id)
        if present is not None:
            present[0].ask_now.set()

    def drop(self, bot_id: str) -> None:
        """Stop watching the bot."""
        present = self._watches.pop(bot_id, None)
        if present is not None:
            present[1].cancel()

    async def close(self) -> None:
        """Stop all watches."""
        tasks = [task for _, task in self._watches.values()]
        self._watches.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Watch:
    def __init__(
        self,
        observer: Observer,
        target: ProbeTarget,
        *,
        interval_seconds: float,
        timeout_seconds: float,
        random: Random,
        spool: str | None,
        after: int,
        pace: Pace,
    ) -> None:
        self._observer = observer
        self.target = target
        self._interval_seconds = interval_seconds
        self._timeout_seconds = timeout_seconds
        self._random = random
        self._events = EventReader(
            target.bot_id, self, spool=spool, after=after, pace=pace, connection_changed=lambda: self.ask_now.set()
        )
        self.ask_now = asyncio.Event()
        self._configured: str | None = None
        """The boot that this controller has sent a configuration."""
        self._refused = ""
        """Why it did not accept its configuration the last time, which is logged once."""
        self._has_secrets: str | None = None
        """The boot that this controller has sent the secrets."""

    async def run(self) -> None:
        client = RuntimeClient(self.target.address, self.target.token, timeout_seconds=self._timeout_seconds)
        try:
            await self._startup(client)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._probes(client))
                tasks.create_task(self._events.run(client))
        finally:
            await client.close()

    async def _startup(self, client: RuntimeClient) -> None:
        delay = STARTUP_FIRST_DELAY_SECONDS
        while True:
            if await client.listens():
                result = await self._probe(client.health)
                if isinstance(result, Health) or (result is not None and result.violation):
                    await self._report(client, result)
                    return
            await asyncio.sleep(delay)
            delay = min(delay * 1.3, STARTUP_MAX_DELAY_SECONDS)

    async def _probes(self, client: RuntimeClient) -> None:
        # The first wait is a random part of the interval, so that bots started together are not always probed together.
        delay = self._interval_seconds * self._random.random()
        clock = asyncio.get_running_loop().time
        per_second = PROBES_PER_SECOND + 1 / self._interval_seconds
        allowance = Allowance(per_second=per_second, at_once=PROBES_AT_ONCE)
        violations = 0
        while True:
            try:
                async with asyncio.timeout(delay):
                    await self.ask_now.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(allowance.wait_seconds())
            self.ask_now.clear()
            result = await self._probe(client.health)
            allowance.spend(1, now=clock())
            violations = violations + 1 if isinstance(result, FailedProbe) and result.violation else 0
            doublings = min(max(0, violations - VIOLATIONS_AT_ONCE), 16)
            delay = min(self._interval_seconds * 2.0**doublings, MAX_BACKOFF_SECONDS)
            if result is not None:
                await self._report(client, result)

    async def take(self, page: EventPage) -> str:
        """Store a page of events; returns what was refused of it."""
        return await self._observer.take_events(self.target.bot_id, page)

    def violated(self, message: str) -> None:
        """The bot sent an event, or a page of events, that is not within the limits."""
        self._observer.on_violation(self.target.bot_id, message)

    async def _probe(self, ask: Callable[[], Awaitable[Health]]) -> Health | FailedProbe | None:
        """One probe; None if it is inconclusive because of an error of the prober itself."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            return await ask()
        except RuntimeCallError as exc:
            return FailedProbe(f"answered {exc.status} {exc.code}: {exc.message}", alive=True)
        except ProtocolViolationError as exc:
            return FailedProbe(f"its health: {exc}", alive=True, violation=True)
        except RuntimeUnreachableError as exc:
            if _is_own_error(exc) or loop.time() - began > self._timeout_seconds + 1:
                log.warning("a probe of bot %s was inconclusive: %s", self.target.bot_id, exc)
                return None
            return FailedProbe(str(exc), alive=False)

    async def _report(self, client: RuntimeClient, result: Health | FailedProbe) -> None:
        self._observer.on_probe(self.target, result)
        if isinstance(result, FailedProbe):
            return
        try:
            await self._configure(client, result)
            await self._send_secrets(client, result)
        except ProtocolViolationError as exc:
            self.violated(f"its answer to a configuration: {exc}")
        except (RuntimeCallError, RuntimeUnreachableError) as exc:
            if str(exc) != self._refused:
                log.warning("bot %s did not accept its configuration: %s", self.target.bot_id, exc)
            self._refused = str(exc)
        except Exception as exc:  # noqa: BLE001, RUF100 - Postgres is unavailable: the next probe retries
            log.warning("configuring bot %s failed: %s", self.target.bot_id, type(exc).__name__)

    async def _configure(self, client: RuntimeClient, health: Health) -> None:
        desired = self._observer.desired_generation(self.target.bot_id)
        if health.config_generation > desired > 0:
            await self._observer.outgrow(self.target.bot_id, health.config_generation)
        if health.config_generation >= desired:
            # The installation's own settings, which no generation covers, may have changed since the bot was last
            # configured. It is configured again once all changes that its owner made by command were ingested.
            caught_up = (self._events.spool, self._events.after) == (health.events.spool_id, health.events.last_seq)
            if self._configured == health.boot_id or not caught_up:
                return
        config = await self._observer.desired_config(self.target.bot_id)
        if config is not None:
            await client.configure(config)
            self._configured = health.boot_id

    async def _send_secrets(self, client: RuntimeClient, health: Health) -> None:
        secrets = self._observer.secrets()
        if secrets is None or self._has_secrets == health.boot_id:
            return
        await client.put_secrets(secrets)
        self._has_secrets = health.boot_id


def _is_own_error(exc: BaseException) -> bool:
    """Whether the chain of causes contains a lack of this process's own resources, or of a route to the bot."""
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _OWN_ERRNOS:
            return True
        cause = cause.__cause__ or cause.__context__
    return False
