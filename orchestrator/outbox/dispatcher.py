"""Delivers messages to the bots while this controller is the leader.

Concurrency contract: one pump at a time handles a bot; one message at a time is in flight per chat, PER_BOT across
chats. Bots share no limit: one that hangs holds up its own messages only. A request to a bot is recorded immediately
before it is made (`store.begin`), so a controller that dies leaves `sending` messages, which the next leader requests
again under the same ids.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import httpx
import msgspec

from bot_runtime import contract
from orchestrator.clients.bot import BotEndpoint, RuntimeClient
from orchestrator.clients.bot_errors import ProtocolViolationError, RuntimeCallError, RuntimeUnreachableError
from orchestrator.db.fence import LeadershipLostError
from orchestrator.outbox.delivery_policy import Answer, Head, NoResponse, Refused, Sent, choose, judge
from orchestrator.outbox.store import OutboxStore, QueuedMessage
from orchestrator.settings import Settings
from orchestrator.states import MessageState
from orchestrator.workqueue import WorkQueue

log = logging.getLogger(__name__)

PUMPS = 4
PER_BOT = 3
"""Chats of one bot with a message in flight."""
SEND_SECONDS = 45.0
"""More than the bot's own timeout for WhatsApp (30 s), so that its answer comes first."""
UPLOAD_SECONDS = 60.0
ERROR_DELAY_SECONDS = 1.0
MAX_WAIT_SECONDS = 60.0


class Bots(Protocol):
    """Looks up endpoints of bots."""

    def endpoint(self, bot_id: str) -> BotEndpoint | None:
        """Where to call the bot; None while it is not online."""


@dataclass(slots=True)
class _Lane:
    """One bot's messages in flight."""

    client: RuntimeClient
    endpoint: BotEndpoint
    busy: set[str] = field(default_factory=set)
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held during a write: a bot whose rows are locked takes one of the connections to Postgres, not several."""


class Dispatcher:
    """All bots of a server. `run` until cancelled; raises LeadershipLostError when there is a new leader."""

    def __init__(
        self,
        *,
        bots: Bots,
        store: OutboxStore,
        settings: Settings,
        on_result: Callable[[str], None] = lambda _: None,
        on_violation: Callable[[str, str], None] = lambda _bot, _message: None,
        check: Callable[[], None] = lambda: None,
        port: int = contract.PORT,
    ) -> None:
        """`on_violation` is called with a bot and what it answered that is not within the limits. `check` raises
        LeadershipLostError once this process must not ask a bot to send anything any more."""
        self._bots = bots
        self._store = store
        self._settings = settings
        self._expiry = timedelta(hours=settings.message_expiry_hours)
        self._on_result = on_result
        self._on_violation = on_violation
        self._check = check
        self._port = port
        self._queue = WorkQueue()
        self._sweep_now = asyncio.Event()
        self._came_online: set[str] = set()
        self._lanes: dict[str, _Lane] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def wake(self, bot_id: str) -> None:
        """The bot has a new message to send."""
        self._queue.add(bot_id)

    def online(self, bot_id: str) -> None:
        """The bot has come online."""
        self._came_online.add(bot_id)
        self._queue.add(bot_id)

    def request_sweep(self) -> None:
        """Check all bots now: something may have been missed."""
        self._sweep_now.set()

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._sweeps(), name="outbox-sweeps")
                for number in range(PUMPS):
                    tasks.create_task(self._work(), name=f"outbox-{number}")
        finally:
            self._queue.close()
            for lane in self._lanes.values():
                await lane.client.close()
            self._lanes.clear()

    async def _sweeps(self) -> None:
        while True:
            self._sweep_now.clear()
            try:
                for bot_id in await self._store.waiting_bots():
                    self._queue.add(bot_id)
            except Exception as exc:  # noqa: BLE001, RUF100 - Postgres is unavailable: the next sweep retries
                log.warning("looking for pending messages failed: %s", type(exc).__name__)
                await asyncio.sleep(ERROR_DELAY_SECONDS)
                continue
            try:
                async with asyncio.timeout(self._settings.resync_interval):
                    await self._sweep_now.wait()
            except TimeoutError:
                pass

    async def _work(self) -> None:
        while True:
            bot_id = await self._queue.get()
            try:
                await self._pump(bot_id)
            except LeadershipLostError:
                raise
            except Exception as exc:  # noqa: BLE001, RUF100 - one bot's error must not stop the others' messages
                log.warning("sending messages of bot %s failed: %s", bot_id, type(exc).__name__)
                log.debug("messages of bot %s", bot_id, exc_info=exc)
                self._queue.add_later(bot_id, ERROR_DELAY_SECONDS)
            finally:
                self._queue.done(bot_id)

    async def _pump(self, bot_id: str) -> None:
        endpoint = self._bots.endpoint(bot_id)
        if bot_id in self._came_online and endpoint is not None:
            await self._store.hurry(bot_id)
            self._came_online.discard(bot_id)
        heads, now = await self._store.heads(bot_id)
        lane = await self._lane(bot_id, endpoint, needed=bool(heads))
        busy = set() if lane is None else lane.busy
        choice = choose(
            heads,
            busy=busy,
            room=PER_BOT - len(busy),
            volume=None if lane is None or lane.endpoint != endpoint else lane.endpoint.volume,
            now=now,
            expiry=self._expiry,
        )
        if choice.fail:
            await self._store.fail(choice.fail)
            for _ in choice.fail:
                self._on_result("failed")
            self._queue.add(bot_id)
        if choice.send and lane is not None:
            assert self._tasks is not None  # noqa: S101 - pumps run inside it
            for head in choice.send:
                lane.busy.add(head.chat)
                self._tasks.create_task(self._deliver(bot_id, lane, head))
        if choice.wake_after_seconds is not None:
            # The clock may be set meanwhile: a long wait is checked again now and then.
            self._queue.add_later(bot_id, min(choice.wake_after_seconds, MAX_WAIT_SECONDS))

    async def _lane(self, bot_id: str, endpoint: BotEndpoint | None, *, needed: bool) -> _Lane | None:
        """The bot's lane at its current endpoint; an old one stays until nothing is in flight in it."""
        lane = self._lanes.get(bot_id)
        if lane is not None and not lane.busy and (not needed or lane.endpoint != endpoint):
            del self._lanes[bot_id]
            await lane.client.close()
            lane = None
        if lane is None and endpoint is not None and needed:
            client = RuntimeClient(
                endpoint.address, endpoint.token, timeout_seconds=self._settings.probe_timeout, port=self._port
            )
            lane = self._lanes[bot_id] = _Lane(client, endpoint)
        return lane

    async def _deliver(self, bot_id: str, lane: _Lane, head: Head) -> None:
        delay = 0.0
        try:
            async with lane.writing:
                message = await self._store.begin(head, volume=lane.endpoint.volume)
            if message is None:
                return
            answer = await self._ask(bot_id, lane.client, message)
            asked_before = head.state is MessageState.SENDING
            result = judge(answer, asked_before=asked_before, attempts=message.attempts)
            sent = answer if isinstance(answer, Sent) else None
            async with lane.writing:
                await self._store.record(message, result, sent)
            self._on_result(str(result.state) if result.state is not MessageState.QUEUED else "retry")
        except LeadershipLostError:
            raise
        except Exception as exc:  # noqa: BLE001, RUF100 - if the bot was asked, it stays `sending` and is requested again
            log.warning("storing the state of message %s failed: %s", head.id, type(exc).__name__)
            log.debug("message %s", head.id, exc_info=exc)
            delay = ERROR_DELAY_SECONDS
        finally:
            lane.busy.discard(head.chat)
            self._queue.add_later(bot_id, delay)

    async def _ask(self, bot_id: str, client: RuntimeClient, message: QueuedMessage) -> Answer:
        """Have the bot send a message; every error becomes an answer, but for LeadershipLostError."""
        try:
            request = msgspec.convert(
                {"clientId": message.id, "to": message.chat, "content": message.content, "quote": message.quote},
                contract.SendRequest,
            )
        except msgspec.ValidationError as exc:
            return Refused(status=400, code="invalid-message", message=str(exc))
        asked = False
        try:
            if message.file_size is not None:
                chunks = self._store.file(message.id, message.file_size)
                await client.upload(message.id, chunks, size=message.file_size, timeout_seconds=UPLOAD_SECONDS)
            self._check()  # the process may have been frozen since the message was read
            asked = True
            result = await client.send(request, timeout_seconds=SEND_SECONDS)
        except RuntimeCallError as exc:
            return Refused(status=exc.status, code=exc.code, message=exc.message, retry_after_ms=exc.retry_after_ms)
        except RuntimeUnreachableError as exc:
            if isinstance(exc, ProtocolViolationError):
                self._on_violation(bot_id, f"its answer to a message: {exc}")
            connected = not isinstance(exc.__cause__, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
            return NoResponse(message=str(exc), asked=asked and connected)
        return Sent(whatsapp_id=result.message_id, unconfirmed=result.unconfirmed)
