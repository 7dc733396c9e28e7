"""What a bot's events change: states of messages, groups, settings, counters; each once."""

import asyncio
from typing import Any

import pytest

from bot_runtime.contract import Event, EventPage, EventType
from orchestrator.db import groups, receipts
from orchestrator.reconcile import status_store
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

    async def test_early_receipts_of_one_bot_are_limited(self, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(receipts, "MAX_EARLY", 10)
        post.fake.hold = asyncio.Event()
        await post.start()
        await post.put("m-1")
        await post.asks()
        for start in (0, 5, 10, 15):
            ids = [str(number) for number in range(start, start + 5)]
            await post.tell(EventType.MESSAGE_ACK, ack("delivered", *ids))
        assert await post.sql("SELECT count(*) FROM early_acks") == [(10,)]
        post.fake.hold.set()
        await post.becomes("m-1", "sent")

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


INFO = {
    "id": "120363041234567890@g.us",
    "subject": "Team\x00",
    "description": "",
    "owner": None,
    "createdAt": "2026-01-01T00:00:00Z",
}
GROUP = {**INFO, "members": [{"id": "1@lid", "phoneNumber": "4917", "admin": True}]}
"""As earlier runtimes report it."""


def members(*numbers: int, admin: int | None = None) -> list[dict[str, Any]]:
    return [{"id": f"{number}@lid", "phoneNumber": f"49{number}", "admin": number == admin} for number in numbers]


class TestGroups:
    async def test_groups_and_members_are_limited(self, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(groups, "MAX_GROUPS", 2)
        monkeypatch.setattr(groups, "MAX_MEMBERS", 3)
        await post.start()
        for number in (1, 2, 3, 2):
            await self.update(post, group={**INFO, "id": f"{number}@g.us"}, members=members(1, 2))
            await self.update(post, group={**INFO, "id": f"{number}@g.us"}, members=members(3, 4, 5))
        assert await post.sql("SELECT id FROM groups ORDER BY id") == [("1@g.us",), ("2@g.us",)]
        assert await post.sql("SELECT group_id, count(*) FROM group_members GROUP BY 1 ORDER BY 1") == [
            ("1@g.us", 3),
            ("2@g.us", 3),
        ]

    async def test_long_texts_of_a_group_are_truncated(self, post: Post) -> None:
        await post.start()
        await self.update(post, group={**INFO, "subject": "x" * 200_000, "description": "y" * 200_000})
        [(lengths,)] = await post.sql("SELECT length(subject) + length(description) FROM groups")
        assert lengths < 6_000

    async def update(self, post: Post, **data: Any) -> None:
        await post.tell(EventType.GROUP_UPDATE, data)

    async def stored(self, post: Post) -> dict[str, bool]:
        """The members of the group: who, and whether they are an admin."""
        return dict(await post.sql("SELECT split_part(id, '@', 1), admin FROM group_members ORDER BY id"))

    async def written(self, post: Post) -> list[tuple[Any, ...]]:
        """The transactions that wrote the rows."""
        rows = "SELECT xmin::text, id FROM groups UNION ALL SELECT xmin::text, id FROM group_members ORDER BY 2"
        return await post.sql(rows)

    async def test_groups_are_stored_changed_and_deleted(self, post: Post) -> None:
        await post.start()
        await self.update(post, group=INFO, members=members(1, 2, admin=1), complete={})
        await self.update(post, group={**INFO, "subject": "New"})
        [row] = await post.sql("SELECT server_name, bot_key, id, subject FROM groups")
        assert row == (SERVER, (await post.bot()).key, INFO["id"], "New")
        assert await self.stored(post) == {"1": True, "2": False}
        [number] = await post.sql("SELECT phone_number FROM group_members WHERE id = '1@lid'")
        assert number == ("491",)
        await self.update(post, group=INFO, members=members(2, 3, admin=2))
        await self.update(post, group=INFO, gone=["1@lid", "9@lid"])
        assert await self.stored(post) == {"2": True, "3": False}
        await self.update(post, left=INFO["id"])
        assert await post.sql("SELECT 1 FROM groups") == []
        assert await self.stored(post) == {}

    async def test_the_members_of_a_range_replace_those_in_it(self, post: Post) -> None:
        await post.start()
        await self.update(post, group=INFO, members=members(*range(1, 10)), complete={})
        await self.update(post, group=INFO, members=members(4), complete={"after": "3@lid", "until": "6@lid"})
        assert list(await self.stored(post)) == ["1", "2", "3", "4", "7", "8", "9"]
        await self.update(post, group=INFO, members=members(1), complete={"until": "2@lid"})
        await self.update(post, group=INFO, complete={"after": "7@lid"})
        assert list(await self.stored(post)) == ["1", "3", "4", "7"]
        await self.update(post, group=INFO, complete={})
        assert await self.stored(post) == {}

    @pytest.mark.parametrize(
        "data",
        [
            {"group": INFO, "members": members(1, 2), "complete": {}},
            {"group": INFO, "members": members(2)},
            {"group": INFO, "gone": ["3@lid"]},
            {"groups": [INFO["id"]]},
            {"group": {**INFO, "members": members(2, 1)}},
        ],
    )
    async def test_what_is_known_already_writes_no_row(self, post: Post, data: dict[str, Any]) -> None:
        await post.start()
        await self.update(post, group=INFO, members=members(1, 2), complete={})
        before = await self.written(post)
        assert len(before) == 3
        await self.update(post, **data)
        assert await self.written(post) == before

    async def test_a_change_writes_only_the_rows_of_the_changed_members(self, post: Post) -> None:
        await post.start()
        await self.update(post, group=INFO, members=members(1, 2, 3), complete={})
        before = await self.written(post)
        await self.update(post, group=INFO, members=members(1, 2, 3, admin=2), complete={})
        after = await self.written(post)
        changed = [now[1] for now, then in zip(after, before, strict=True) if now != then]
        assert changed == [INFO["id"], "2@lid"]

    async def test_updated_at_is_when_the_bot_reported_the_last_change(self, post: Post) -> None:
        await post.start()
        await self.update(post, group=INFO, members=members(1), complete={})
        await post.sql("UPDATE groups SET updated_at = '2000-01-01'")
        old = await post.sql("SELECT updated_at FROM groups")
        await self.update(post, group=INFO, members=members(1), complete={})
        assert await post.sql("SELECT updated_at FROM groups") == old
        await self.update(post, group=INFO, gone=["1@lid"])
        assert await post.sql("SELECT updated_at FROM groups") == [(NOW,)]

    async def test_a_list_of_all_groups_deletes_the_others_of_the_bot(self, post: Post) -> None:
        await post.create("bot-2")
        await post.start()
        for number in range(3):
            await self.update(post, group={**INFO, "id": f"{number}@g.us"}, members=members(1))
        await post.sql(
            "INSERT INTO groups (id, bot_key, server_name, subject, description) "
            "SELECT '0@g.us', key, server_name, '', '' FROM bots WHERE id = 'bot-2'"
        )
        await self.update(post, groups=["1@g.us", "7@g.us"])
        of_bots = "SELECT bots.id, groups.id FROM groups JOIN bots ON bot_key = key ORDER BY 1"
        assert await post.sql(of_bots) == [(BOT, "1@g.us"), ("bot-2", "0@g.us")]
        await self.update(post, groups=[])
        assert await post.sql(of_bots) == [("bot-2", "0@g.us")]

    async def test_a_member_may_be_listed_twice(self, post: Post) -> None:
        await post.start()
        await self.update(post, group=INFO, members=[*members(1), *members(1, admin=1)], gone=["1@lid"])
        assert await self.stored(post) == {"1": True}

    async def test_reports_of_earlier_runtimes_replace_all_members(self, post: Post) -> None:
        await post.start()
        await self.update(post, group=INFO, members=members(1, 2), complete={})
        await self.update(post, group=GROUP)
        assert await self.stored(post) == {"1": True}

    async def test_groups_of_a_deleted_bot_are_deleted_in_batches(
        self, post: Post, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await post.start()
        monkeypatch.setattr(status_store, "GROUP_BATCH", 2)
        for number in range(5):
            await self.update(post, group={**INFO, "id": f"{number}@g.us"}, members=members(1, 2))
        await post.sql("UPDATE bots SET deleting = true")
        await StatusStore(post.database, server=SERVER, epoch=post.epoch).forget(BOT)
        assert await post.sql("SELECT 1 FROM bots UNION ALL SELECT 1 FROM group_members") == []

    @pytest.mark.parametrize(
        "data",
        [
            {},
            {"group": {}},
            {"group": None},
            {"left": 5},
            {"group": {**GROUP, "members": 1}},
            {"group": {**INFO, "id": "1" * 10_000}},
            {"group": INFO, "members": [{"id": "1" * 10_000, "phoneNumber": None, "admin": False}]},
        ],
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
        bot = await post.bot()
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
        await store.ingest(bot, page)
        await post.sql('UPDATE bots SET settings = \'{"prefix": "#"}\'')
        await store.ingest(bot, page)
        assert await post.sql("SELECT settings FROM bots") == [({"prefix": "#"},)]
        counters = await post.sql("SELECT messages_received, errors, reconnections FROM bot_status")
        assert counters == [(1, 1, 1)]
