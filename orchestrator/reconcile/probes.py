"""Probes of running bots and the take-over of their events.

For every container that runs there is one watch with two tasks. The probe task asks `GET /health` quickly until the
first answer (startup), then every interval; any HTTP answer is a sign of life, only `Health` says ready. The event task
long-polls `GET /events` and hands pages over to be kept; an event that tells of the connection makes the probe task ask
at once, so a bot is seen online within milliseconds without being polled fast.

A watch belongs to one container run: results carry that run, so that a late answer is never taken for another.
"""

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from bot_runtime.contract import EventPage, EventType, Health, RuntimeConfig, Secrets
from orchestrator.clients.bot import RuntimeCallError, RuntimeClient, RuntimeUnreachableError

log = logging.getLogger(__name__)

STARTUP_FIRST_DELAY = 0.05
STARTUP_MAX_DELAY = 0.5
EVENT_WAIT = 58.0
EVENT_LIMIT = 200
RETRY_DELAY = 1.0

_OWN_ERRNOS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
_TELLING = {
    EventType.CONNECTION_UPDATE,
    EventType.CONNECTED,
    EventType.LOGOUT,
    EventType.QR,
    EventType.RECONNECT_FAILED,
    EventType.CREDS_UPDATE,
}


@dataclass(frozen=True, slots=True)
class FailedProbe:
    """A probe that failed. `alive` when something answered, although not with its health."""

    message: str
    alive: bool


class Observer(Protocol):
    """Who is told what the watches find out."""

    def on_probe(self, target: "ProbeTarget", result: Health | FailedProbe) -> None:
        """A probe ended. Called in the event loop; must not block."""

    def wanted_generation(self, bot_id: str) -> int:
        """The generation of the configuration that the bot should have; 0 when none is known."""

    async def wanted_config(self, bot_id: str) -> RuntimeConfig | None:
        """The configuration that the bot should have; raises when Postgres is away."""

    def secrets(self) -> Secrets | None:
        """What every process of a bot is to be given once; None: nothing."""

    async def take_events(self, bot_id: str, page: EventPage) -> None:
        """Keep a page of events; raises when it could not be kept, then it is fetched again."""


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """What to watch: one run of one bot's container."""

    bot_id: str
    container_id: str
    address: str
    run: float
    """When this run began, to tell two runs of one container apart."""
    token: str


class Monitor:
    """All watches. `sync` and `drop` are cheap and may be called as often as wanted."""

    def __init__(self, observer: Observer, *, interval: float, timeout: float, random: Random) -> None:
        self._observer = observer
        self._interval = interval
        self._timeout = timeout
        self._random = random
        self._watches: dict[str, tuple[_Watch, asyncio.Task[None]]] = {}

    def sync(self, target: ProbeTarget, *, spool: str | None, after: int) -> None:
        """Watch this run of the bot's container, and no earlier one."""
        present = self._watches.get(target.bot_id)
        if present is not None:
            if present[0].target == target and not present[1].done():
                return
            self.drop(target.bot_id)
        watch = _Watch(self._observer, target, self._interval, self._timeout, self._random, spool, after)
        task = asyncio.create_task(watch.run(), name=f"watch-{target.bot_id}")
        self._watches[target.bot_id] = (watch, task)

    def ask(self, bot_id: str) -> None:
        """Probe the bot now, if it is watched."""
        present = self._watches.get(bot_id)
        if present is not None:
            present[0].ask_now.set()

    def drop(self, bot_id: str) -> None:
        """Watch the bot no more."""
        present = self._watches.pop(bot_id, None)
        if present is not None:
            present[1].cancel()

    async def close(self) -> None:
        """End all watches."""
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
        interval: float,
        timeout: float,
        random: Random,
        spool: str | None,
        after: int,
    ) -> None:
        self._observer = observer
        self.target = target
        self._interval = interval
        self._timeout = timeout
        self._random = random
        self._spool = spool
        self._after = after
        self.ask_now = asyncio.Event()
        self._configured: str | None = None
        """The boot that was given a configuration by this controller."""
        self._told: str | None = None
        """The boot that was given the secrets."""

    async def run(self) -> None:
        client = RuntimeClient(self.target.address, self.target.token, timeout=self._timeout)
        try:
            await self._startup(client)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._probes(client))
                tasks.create_task(self._events(client))
        finally:
            await client.close()

    async def _startup(self, client: RuntimeClient) -> None:
        delay = STARTUP_FIRST_DELAY
        while True:
            if await client.listens():
                result = await self._probe(client.health)
                if isinstance(result, Health):
                    await self._report(client, result)
                    return
            await asyncio.sleep(delay)
            delay = min(delay * 1.3, STARTUP_MAX_DELAY)

    async def _probes(self, client: RuntimeClient) -> None:
        # The first wait is a random part of the interval: bots started together are not probed together for ever.
        delay = self._interval * self._random.random()
        while True:
            try:
                async with asyncio.timeout(delay):
                    await self.ask_now.wait()
            except TimeoutError:
                pass
            self.ask_now.clear()
            delay = self._interval
            result = await self._probe(client.health)
            if result is not None:
                await self._report(client, result)

    async def _probe(self, ask: Callable[[], Awaitable[Health]]) -> Health | FailedProbe | None:
        """One probe; None when it says nothing about the bot because the prober itself was in trouble."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            return await ask()
        except RuntimeCallError as exc:
            return FailedProbe(f"answered {exc.status} {exc.code}: {exc.message}", alive=True)
        except RuntimeUnreachableError as exc:
            if _own_trouble(exc) or loop.time() - began > self._timeout + 1:
                log.warning("a probe of bot %s was inconclusive: %s", self.target.bot_id, exc)
                return None
            return FailedProbe(str(exc), alive=False)

    async def _report(self, client: RuntimeClient, result: Health | FailedProbe) -> None:
        self._observer.on_probe(self.target, result)
        if isinstance(result, FailedProbe):
            return
        try:
            await self._configure(client, result)
            await self._tell(client, result)
        except (RuntimeCallError, RuntimeUnreachableError) as exc:
            log.warning("bot %s did not take its configuration: %s", self.target.bot_id, exc)
        except Exception as exc:  # noqa: BLE001, RUF100 - Postgres is away: the next probe tries again
            log.warning("bot %s was not configured yet: %s", self.target.bot_id, type(exc).__name__)

    async def _configure(self, client: RuntimeClient, health: Health) -> None:
        if health.config_generation >= self._observer.wanted_generation(self.target.bot_id):
            # The installation's own settings, which no generation counts, may be others than when the bot was told
            # last. It is told again once it has said all that its owner changed by command meanwhile.
            told_all = (self._spool, self._after) == (health.events.spool_id, health.events.last_seq)
            if self._configured == health.boot_id or not told_all:
                return
        config = await self._observer.wanted_config(self.target.bot_id)
        if config is not None:
            await client.configure(config)
            self._configured = health.boot_id

    async def _tell(self, client: RuntimeClient, health: Health) -> None:
        secrets = self._observer.secrets()
        if secrets is None or self._told == health.boot_id:
            return
        await client.put_secrets(secrets)
        self._told = health.boot_id

    async def _events(self, client: RuntimeClient) -> None:
        while True:
            try:
                page = await client.events(spool=self._spool, after=self._after, limit=EVENT_LIMIT, wait=EVENT_WAIT)
                if page.items or page.spool_id != self._spool:
                    await self._observer.take_events(self.target.bot_id, page)
            except (RuntimeCallError, RuntimeUnreachableError) as exc:
                log.debug("events of bot %s: %s", self.target.bot_id, exc)
                await asyncio.sleep(RETRY_DELAY)
                continue
            except Exception as exc:  # noqa: BLE001, RUF100 - Postgres is away, or refused: the page stays in the spool
                log.warning("events of bot %s were not kept yet: %s", self.target.bot_id, type(exc).__name__)
                await asyncio.sleep(RETRY_DELAY)
                continue
            self._spool, self._after = page.spool_id, page.next
            if any(event.type in _TELLING for event in page.items):
                self.ask_now.set()


def _own_trouble(exc: BaseException) -> bool:
    """Whether somewhere down the chain of causes stands a lack of our own resources."""
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _OWN_ERRNOS:
            return True
        cause = cause.__cause__ or cause.__context__
    return False
