"""A dispatcher on a real database, with a fake bot endpoint."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from bot_runtime.contract import Event, EventPage, EventType
from orchestrator.clients.bot import BotEndpoint
from orchestrator.db.models import Bot
from orchestrator.db.session import Database
from orchestrator.outbox.dispatcher import Dispatcher
from orchestrator.outbox.store import OutboxStore
from orchestrator.reconcile.status_store import StatusStore
from orchestrator.settings import Settings
from tests.integration.api.fake_runtime import NOW, FakeRuntime, listening
from tests.integration.reconcile.conftest import eventually
from tests.support.leases import take_over

SERVER = "server1"
BOT = "bot-1"
ANN, BOB = "4917011111111@s.whatsapp.net", "4917022222222@s.whatsapp.net"


class Post:
    """A server's outbox: dispatchers, the bot they send through, and SQL."""

    def __init__(self, url: str, fake: FakeRuntime) -> None:
        self.url = url
        self.fake = fake
        self.settings = Settings(database_url=url, database_pool_size=8, probe_timeout=2, resync_interval=1)
        self.database = Database(self.settings)
        self.place: BotEndpoint | None = BotEndpoint("127.0.0.1", fake.token, "volume-1")
        self.others: dict[str, BotEndpoint] = {}
        """Where the bots other than BOT are."""
        self.dispatcher: Dispatcher | None = None
        self.epoch = 0
        self._running: asyncio.Task[None] | None = None
        self._spooled = 0

    def endpoint(self, bot_id: str) -> BotEndpoint | None:
        """Where the bot is (`Bots` of the dispatcher)."""
        return self.place if bot_id == BOT else self.others.get(bot_id)

    async def start(self, *, check: Callable[[], None] = lambda: None, **changes: Any) -> Dispatcher:
        """A controller's dispatcher, with an epoch of its own."""
        settings = Settings(**{**self.settings.model_dump(), **changes})
        self.epoch = await take_over(self.url, SERVER)
        store = OutboxStore(self.database, server=SERVER, epoch=self.epoch)
        self.dispatcher = Dispatcher(bots=self, store=store, settings=settings, check=check, port=self.fake.port)
        self._running = asyncio.create_task(self.dispatcher.run())
        return self.dispatcher

    async def stop(self) -> None:
        """End it in the middle of whatever it does, as a crash would."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
            self._running = None

    async def failed(self) -> BaseException:
        """Wait until the dispatcher ends by itself; why."""
        assert self._running is not None
        done, _ = await asyncio.wait([self._running], timeout=60)
        error = done.pop().exception() if done else None
        self._running = None
        assert error is not None
        return error

    async def move(self, volume: str) -> None:
        """The bot has a new volume."""
        assert self.place is not None
        self.place = replace(self.place, volume=volume)

    async def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement; its rows."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            cursor = await connection.execute(statement, values)  # type: ignore[call-overload, unused-ignore]
            return list(await cursor.fetchall()) if cursor.description else []

    async def put(
        self,
        message_id: str,
        to: str = ANN,
        *,
        content: dict[str, Any] | None = None,
        file: bytes | None = None,
        bot: str = BOT,
    ) -> None:
        """Insert a message, which notifies the dispatcher."""
        kept = content or {"type": "text", "text": message_id}
        # In one transaction, as the api does: a sweep must not find the message without its file.
        async with await psycopg.AsyncConnection.connect(self.url) as connection:
            await connection.execute(
                "INSERT INTO messages (id, server_name, bot_key, to_chat, content, request_hash, slot_at) "
                "SELECT %s, server_name, key, %s, %s, '', now() FROM bots WHERE id = %s",
                (message_id, to, json.dumps(kept), bot),
            )
            if file is not None:
                await connection.execute("INSERT INTO message_files VALUES (%s, %s, %s)", (message_id, len(file), file))
        if self.dispatcher is not None:
            self.dispatcher.wake(bot)

    async def create(self, bot: str) -> None:
        """Insert an approved bot."""
        await self.sql(
            "INSERT INTO bots (id, server_name, name, approval_status) VALUES (%s, %s, 'B', 'approved')", bot, SERVER
        )

    async def bot(self) -> Bot:
        """The row of the bot that all tests have."""
        found = await StatusStore(self.database, server=SERVER, epoch=self.epoch).bot(BOT)
        assert found is not None
        return found[0]

    async def state(self, message_id: str) -> tuple[str, str]:
        """State and reason of a message."""
        [row] = await self.sql("SELECT state, reason FROM messages WHERE id = %s", message_id)
        return row[0], row[1]

    async def becomes(self, message_id: str, state: str, reason: str | None = None) -> None:
        """Wait for a state of a message."""
        await eventually(lambda: self.state(message_id), lambda seen: seen[0] == state and reason in {None, seen[1]})

    async def asks(self, times: int = 1) -> None:
        """Wait until the bot has received so many send requests."""

        async def asked() -> int:
            return len(self.fake.asked)

        await eventually(asked, lambda number: number >= times)

    async def row(self, message_id: str) -> dict[str, Any]:
        """A message's row."""
        [row] = await self.sql("SELECT to_jsonb(messages) FROM messages WHERE id = %s", message_id)
        return dict(row[0])

    async def tell(self, kind: EventType, data: dict[str, Any]) -> None:
        """Ingest an event of the bot."""
        self._spooled += 1
        event = Event(seq=self._spooled, type=kind, data=data, timestamp=NOW)
        page = EventPage(spool_id="volume-1", items=[event], next=event.seq)
        await StatusStore(self.database, server=SERVER, epoch=self.epoch).ingest(await self.bot(), page)

    def sent(self) -> list[str]:
        """Client ids of what went out, in that order."""
        return [message.client_id for message in self.fake.sent]

    async def close(self) -> None:
        await self.stop()
        await self.database.close()


@pytest.fixture
async def post(database_url: str) -> AsyncIterator[Post]:
    fake = FakeRuntime(token="token")
    async with listening(fake.app()) as port:
        fake.port = port
        post = Post(database_url, fake)
        await post.create(BOT)
        try:
            yield post
        finally:
            await post.close()
