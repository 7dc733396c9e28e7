"""What the outbox reads."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from orchestrator.outbox import store
from orchestrator.outbox.store import EARLIEST, EARLIEST_HEADS, HEADS, MAX_HEADS, PRUNE_MESSAGES, OutboxStore
from tests.integration.outbox.conftest import ANN, BOB, BOT, SERVER, Post
from tests.support.leases import take_over

BACKLOG = """
    INSERT INTO messages (id, server_name, bot_key, to_chat, content, request_hash)
    SELECT 'm-' || number, server_name, key, CASE number %% 2 WHEN 0 THEN %s ELSE %s END, '{}', ''
    FROM bots, generate_series(1, 5000) AS number ORDER BY number
"""
MANY_CHATS = """
    INSERT INTO messages (id, server_name, bot_key, to_chat, content, request_hash)
    SELECT 'c-' || number, server_name, key, 'chat-' || (number * 7919) %% 3000, '{}', ''
    FROM bots, generate_series(1, 6000) AS number ORDER BY number
"""


def scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The steps of a query plan that read messages."""
    if plan.get("Relation Name") == "messages":
        yield plan
    for step in plan.get("Plans", []):
        yield from scans(step)


async def rows_read(post: Post, query: str, values: dict[str, Any]) -> int:
    """How many rows of messages a query reads."""
    async with post.database.session() as session:
        explain = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}")
        [[result]] = (await session.execute(explain, values)).scalars().all()
    return sum(
        step["Actual Loops"] * (step["Actual Rows"] + step.get("Rows Removed by Filter", 0))
        for step in scans(result["Plan"])
    )


async def test_finding_the_next_messages_reads_one_row_of_each_chat(post: Post) -> None:
    await post.sql(BACKLOG, ANN, BOB)
    await post.sql("ANALYZE messages")
    heads, _ = await OutboxStore(post.database, server=SERVER, epoch=0).heads(BOT)
    assert [(head.id, head.chat) for head in heads] == [("m-1", BOB), ("m-2", ANN)]
    values = {"bot": (await post.bot()).key, "chats": MAX_HEADS + 1, "limit": MAX_HEADS + 1}
    assert await rows_read(post, HEADS.text, values) <= len(heads)


async def test_finding_the_next_messages_for_thousands_of_chats_reads_few_rows(post: Post) -> None:
    await post.sql(MANY_CHATS)
    await post.sql("UPDATE messages SET next_attempt_at = now() WHERE seq <= 100")
    await post.sql("ANALYZE messages")
    heads, _ = await OutboxStore(post.database, server=SERVER, epoch=0).heads(BOT)
    assert [head.id for head in heads] == [f"c-{number}" for number in range(101, 101 + MAX_HEADS)]
    some = {"bot": (await post.bot()).key, "chats": MAX_HEADS + 1, "limit": MAX_HEADS + 1}
    assert await rows_read(post, HEADS.text, some) <= MAX_HEADS + 1
    earliest = {"bot": (await post.bot()).key, "earliest": EARLIEST, "limit": MAX_HEADS}
    assert await rows_read(post, EARLIEST_HEADS.text, earliest) <= 3 * MAX_HEADS


async def test_messages_of_other_chats_are_found_behind_thousands_of_one_chat(post: Post) -> None:
    await post.sql(BACKLOG, ANN, BOB)
    await post.sql(MANY_CHATS)
    heads, _ = await OutboxStore(post.database, server=SERVER, epoch=0).heads(BOT)
    expected = ["m-1", "m-2", *(f"c-{number}" for number in range(1, MAX_HEADS - 1))]
    assert [head.id for head in heads] == expected


async def test_only_bots_with_pending_messages_are_waiting(post: Post) -> None:
    for bot in ("bot-2", "bot-3"):
        await post.create(bot)
        await post.put(f"{bot}-1", bot=bot)
    await post.sql("UPDATE messages SET state = 'sent' WHERE bot_key = (SELECT key FROM bots WHERE id = 'bot-3')")
    assert await OutboxStore(post.database, server=SERVER, epoch=0).waiting_bots() == ["bot-2"]


async def test_old_messages_are_found_through_an_index_and_deleted_in_batches(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PRUNE_BATCH", 100)
    await post.sql(BACKLOG, ANN, BOB)
    await post.sql("UPDATE messages SET state = 'sent'")
    await post.sql("UPDATE messages SET updated_at = now() - interval '8 days' WHERE seq <= 250")
    await post.sql("UPDATE messages SET state = 'queued' WHERE seq <= 10")
    await post.sql(
        "INSERT INTO early_acks (bot_key, whatsapp_id, state, created_at) "
        "SELECT key, number::text, 'read', now() - make_interval(hours => number::int) "
        "FROM bots, generate_series(1, 250) AS number"
    )
    await post.sql("ANALYZE messages")
    async with post.database.session() as session:
        explain = text(f"EXPLAIN {PRUNE_MESSAGES.text}")
        plan = (await session.execute(explain, {"server": SERVER, "days": 7, "limit": 100})).scalars().all()
    assert any("messages_finished" in line for line in plan), plan
    await OutboxStore(post.database, server=SERVER, epoch=await take_over(post.url, SERVER)).prune(days=7)
    assert await post.sql("SELECT state, count(*) FROM messages GROUP BY 1 ORDER BY 1") == [
        ("queued", 10),
        ("sent", 4750),
    ]
    assert await post.sql("SELECT count(*) FROM early_acks") == [(23,)]
