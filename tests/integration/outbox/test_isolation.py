"""One bot's trouble holds up its own messages only."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from orchestrator.clients.bot import BotEndpoint
from orchestrator.outbox.dispatcher import PER_BOT
from tests.integration.outbox.conftest import BOB, Post
from tests.integration.reconcile.conftest import eventually


class HungBot:
    """Accepts connections and never responds."""

    def __init__(self) -> None:
        self.connections: list[asyncio.StreamWriter] = []

    async def accept(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep the connection open."""
        self.connections.append(writer)

    async def requests(self) -> int:
        """How many connections arrived: one for each message in flight."""
        return len(self.connections)


@asynccontextmanager
async def hung(post: Post, *bots: str) -> AsyncIterator[HungBot]:
    """These bots are online at an endpoint that hangs."""
    endpoint = HungBot()
    server = await asyncio.start_server(endpoint.accept, "127.0.0.2", post.fake.port)
    for bot in bots:
        await post.create(bot)
        post.others[bot] = BotEndpoint("127.0.0.2", "token", "volume-1")
    try:
        yield endpoint
    finally:
        await post.stop()
        for writer in endpoint.connections:
            writer.close()
        server.close()


async def test_hung_bots_do_not_delay_the_messages_of_others(post: Post) -> None:
    bots = [f"hung-{number}" for number in range(8)]
    async with hung(post, *bots) as endpoint:
        for bot in bots:
            for chat in range(PER_BOT + 1):
                await post.put(f"{bot}-{chat}", f"49170{chat:07}@s.whatsapp.net", bot=bot)
        await post.start()
        await eventually(endpoint.requests, lambda number: number >= len(bots) * PER_BOT)
        await post.put("m-1")
        await post.becomes("m-1", "sent")
        # None of the hung bots has timed out meanwhile: their messages are still in flight, no more than allowed.
        states = await post.sql(
            "SELECT state, count(*) FROM messages "
            "WHERE bot_key <> (SELECT key FROM bots WHERE id = 'bot-1') GROUP BY 1 ORDER BY 1"
        )
        assert states == [("queued", len(bots)), ("sending", len(bots) * PER_BOT)]


async def test_bots_whose_rows_are_locked_do_not_delay_the_messages_of_others(post: Post) -> None:
    assert post.place is not None
    bots = [f"locked-{number}" for number in range(5)]
    for bot in bots:
        await post.create(bot)
        post.others[bot] = post.place
        await post.put(f"{bot}-1", bot=bot)
        await post.put(f"{bot}-2", BOB, bot=bot)

    async def waiting() -> int:
        [(number,)] = await post.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return int(number)

    async with await psycopg.AsyncConnection.connect(post.url) as other:
        await other.execute("SELECT 1 FROM messages FOR UPDATE")
        await post.start()
        await eventually(waiting, lambda number: number == len(bots))
        await post.put("m-1")
        await post.becomes("m-1", "sent")
        assert post.sent() == ["m-1"]
        assert await waiting() == len(bots)
    for bot in bots:
        await post.becomes(f"{bot}-2", "sent")
