"""What a bot's events change: states of messages, groups, settings, counters; each once."""

import asyncio
from typing import Any

import pytest

from bot_runtime.contract import Event, EventPage, EventType
from orchestrator.reconcile.status_store import StatusStore
from tests.integration.api.fake_runtime import NOW
from tests.integration.outbox.conftest import BOT, SERVER, Post
from tests.integration.reconcile.conftest import eventually


def ack(state: str, *ids: str) -> dict[str, Any]:
    return {"messageIds": list(ids), "chat": "x", "by": "y", "state": state}


class TestReceipts:
    async def test_receipts_advance_a_message_and_never_reverse_it(self, post: Post) -> None:
        await post.start()
        await post.put("m-1")
        await post.becomes("m-1", "sent")
        seen = []
        for state in ("delivered", "read", "delivered", "played"):
            await post.tell(EventType.MESSAGE_ACK, ack(state, "3EB0m-1", "unknown"))
            seen.append((await post.state("m-1"))[0])
        assert seen == ["delivered", "read", "read", "read"]
        row = await post.row("m-1")
        assert row["delivered_at"] is not None
        assert row["read_at"] is not None
        assert row["sent_at"] == row["created_at"], "not after its receipts, whose clock is behind here"

    @pytest.mark.parametrize("order", [["delivered"], ["read"], ["delivered", "read"], ["read", "delivered"]])
    async def test_a_receipt_before_the_answer_counts(self, post: Post, order: list[str]) -> None:
        post.fake.hold = asyncio.Event()
        await post.start()
        await post.put("m-1")
        await post.asks()
        for state in order:
            await post.tell(EventType.MESSAGE_ACK, ack(state, "3EB0m-1"))
        assert (await post.state("m-1"))[0] == "sending"
        post.fake.hold.set()
        await post.becomes("m-1", "read" if "read" in order else "delivered")
        assert await post.sql("SELECT 1 FROM early_acks") == []
        row = await post.row("m-1")
        assert row["sent_at"] == row["created_at"], "not after its receipts, whose clock is behind here"

    @pytest.mark.parametrize("early", [False, True])
    async def test_a_receipt_confirms_an_unconfirmed_message(self, post: Post, early: bool) -> None:
        post.fake.unconfirmed, post.fake.hold = True, asyncio.Event()
        await post.start()
        await post.put("m-1")
        await post.asks()
        if not early:
            post.fake.hold.set()
            await post.becomes("m-1", "sent", "unconfirmed")
        await post.tell(EventType.MESSAGE_ACK, ack("delivered", "3EB0m-1"))
        post.fake.hold.set()
        await post.becomes("m-1", "delivered", "")
        assert (await post.row("m-1"))["detail"] == ""

    async def test_receipts_of_the_bots_own_replies_are_not_stored(self, post: Post) -> None:
        await post.start()
        await post.tell(EventType.MESSAGE_ACK, ack("delivered", "own-answer"))
        assert await post.sql("SELECT 1 FROM early_acks") == []

    async def test_a_receipt_and_an_answer_may_arrive_concurrently(self, post: Post) -> None:
        await post.start()
        for number in range(20):
            await post.put(f"m-{number:02}", f"49170{number:07}@s.whatsapp.net")

        async def sending(number: int) -> None:
            await eventually(lambda: post.row(f"m-{number:02}"), lambda row: row["state"] != "queued")
            await post.tell(EventType.MESSAGE_ACK, ack("delivered", f"3EB0m-{number:02}"))

        await asyncio.gather(*(sending(number) for number in range(20)))
        for number in range(20):
            await post.becomes(f"m-{number:02}", "delivered")


GROUP = {
    "id": "120363041234567890@g.us",
    "subject": "Team\x00",
    "description": "",
    "owner": None,
    "createdAt": "2026-01-01T00:00:00Z",
    "members": [{"id": "1@lid", "phoneNumber": "4917", "admin": True}],
}


class TestGroups:
    async def test_groups_are_stored_updated_and_deleted(self, post: Post) -> None:
        await post.start()
        await post.tell(EventType.GROUP_UPDATE, {"group": GROUP})
        await post.tell(EventType.GROUP_UPDATE, {"group": {**GROUP, "subject": "New"}})
        [row] = await post.sql("SELECT server_name, bot_id, subject, members FROM groups")
        assert row == (SERVER, BOT, "New", GROUP["members"])
        await post.tell(EventType.GROUP_UPDATE, {"left": GROUP["id"]})
        assert await post.sql("SELECT 1 FROM groups") == []

    @pytest.mark.parametrize(
        "data", [{}, {"group": {}}, {"group": None}, {"left": 5}, {"group": {**GROUP, "members": 1}}]
    )
    async def test_a_malformed_update_is_stored_as_an_event_and_has_no_effect(
        self, post: Post, data: dict[str, Any]
    ) -> None:
        await post.start()
        await post.tell(EventType.GROUP_UPDATE, data)
        assert await post.sql("SELECT 1 FROM groups") == []
        assert len(await post.sql("SELECT 1 FROM bot_events")) == 1


class TestSettings:
    async def test_reported_settings_are_merged_and_make_a_new_configuration(self, post: Post) -> None:
        await post.start()
        await post.sql('UPDATE bots SET settings = \'{"prefix": "!", "chatgpt": {"model": "m"}}\'')
        [(before,)] = await post.sql("SELECT config_generation FROM bots")
        await post.tell(EventType.SETTINGS_UPDATE, {"settings": {"autoView": True, "chatgpt": {"enabled": True}}})
        [(settings, after)] = await post.sql("SELECT settings, config_generation FROM bots")
        assert settings == {"prefix": "!", "autoView": True, "chatgpt": {"model": "m", "enabled": True}}
        assert after > before

    @pytest.mark.parametrize(
        "settings",
        [
            {"rateLimitMax": 10_000},
            {"name": "x"},
            {"commands": []},
            {"prefix": ""},
            {"prefix": 5},
            {"autoView": "yes"},
            [],
        ],
    )
    async def test_settings_that_a_bot_may_not_report_are_ignored(self, post: Post, settings: Any) -> None:
        await post.start()
        await post.tell(EventType.SETTINGS_UPDATE, {"settings": settings})
        assert await post.sql("SELECT settings FROM bots") == [({},)]
        assert len(await post.sql("SELECT 1 FROM bot_events")) == 1

    async def test_a_repeated_page_changes_nothing(self, post: Post) -> None:
        await post.start()
        store = StatusStore(post.database, server=SERVER, epoch=post.epoch)
        events = [
            Event(seq=1, type=EventType.SETTINGS_UPDATE, data={"settings": {"prefix": "!"}}, timestamp=NOW),
            Event(
                seq=2,
                type=EventType.MESSAGE_UPSERT,
                data={"messages": [{"fromMe": False}, {"fromMe": True}]},
                timestamp=NOW,
            ),
            Event(seq=3, type=EventType.ERROR, data={}, timestamp=NOW),
            Event(seq=4, type=EventType.CONNECTION_UPDATE, data={"state": "reconnecting"}, timestamp=NOW),
        ]
        page = EventPage(spool_id="s", items=events, next=4)
        await store.ingest(BOT, page)
        await post.sql('UPDATE bots SET settings = \'{"prefix": "#"}\'')
        await store.ingest(BOT, page)
        assert await post.sql("SELECT settings FROM bots") == [({"prefix": "#"},)]
        counters = await post.sql("SELECT messages_received, errors, reconnections FROM bot_status")
        assert counters == [(1, 1, 1)]
