"""From Postgres to the bot: in order, once, and through everything that may happen on the way."""

import asyncio
from typing import Any

import pytest

from orchestrator.db.fence import LeadershipLostError
from orchestrator.db.messages import cancel
from orchestrator.errors import ConflictError
from orchestrator.outbox.dispatcher import PER_BOT
from tests.integration.outbox.conftest import ANN, BOB, BOT, Post
from tests.integration.reconcile.conftest import eventually
from tests.support.leases import take_over

NOT_ONLINE = (409, "not-online", "the bot is not online")


async def test_a_message_is_sent_under_its_own_id(post: Post) -> None:
    await post.start()
    await post.put("m-1")
    await post.becomes("m-1", "sent")
    row = await post.row("m-1")
    assert (row["whatsapp_id"], row["attempts"], row["attempted_on"]) == ("3EB0m-1", 1, None)
    assert row["sent_at"] is not None
    assert post.sent() == ["m-1"]
    assert await post.sql("SELECT messages_sent FROM bot_status") == [(1,)]


async def test_messages_stored_before_the_controller_started_are_found(post: Post) -> None:
    await post.put("m-1")
    await post.start()
    await post.becomes("m-1", "sent")


async def test_messages_without_a_notification_are_found(post: Post) -> None:
    await post.start()
    await post.sql(
        "INSERT INTO messages (id, server_name, bot_key, to_chat, content, request_hash) "
        'SELECT \'m-1\', server_name, key, %s, \'{"type": "text", "text": "x"}\', \'\' FROM bots',
        ANN,
    )
    await post.becomes("m-1", "sent")


async def test_a_file_is_uploaded_first_and_deleted_once_sent(post: Post) -> None:
    file = bytes(range(256)) * 12_000  # more than one piece
    await post.start()
    await post.put("m-1", content={"type": "image", "mimetype": "image/png"}, file=file)
    await post.becomes("m-1", "sent")
    assert post.fake.uploads == {"m-1": file}
    assert await post.sql("SELECT 1 FROM message_files") == []


async def test_a_leader_whose_lease_has_expired_since_it_read_a_message_does_not_ask_the_bot(post: Post) -> None:
    def expired() -> None:
        raise LeadershipLostError("the lease has expired")

    await post.put("m-1")
    await post.start(check=expired)
    error = await post.failed()
    assert isinstance(error, BaseExceptionGroup)
    assert error.subgroup(LeadershipLostError) is not None
    assert post.fake.asked == []
    assert (await post.state("m-1"))[0] == "sending", "the next leader asks"


class TestOrder:
    async def test_messages_of_a_chat_are_sent_in_order_even_after_a_failure(self, post: Post) -> None:
        post.fake.refuses[ANN] = [NOT_ONLINE, (429, "rate-limited", "")]
        for number in range(8):
            await post.put(f"m-{number}")
        dispatcher = await post.start()
        await post.becomes("m-0", "queued", "not-online")
        dispatcher.online(BOT)
        await post.becomes("m-7", "sent")
        assert post.sent() == [f"m-{number}" for number in range(8)]

    async def test_a_waiting_chat_does_not_hold_up_others(self, post: Post) -> None:
        await post.start()
        post.fake.refuses[ANN] = [NOT_ONLINE]
        await post.put("a-1")
        await post.becomes("a-1", "queued", "not-online")
        await post.put("b-1", BOB)
        await post.becomes("b-1", "sent")
        assert post.sent() == ["b-1"]

    async def test_several_chats_are_sent_concurrently_within_limits_and_one_message_per_chat(self, post: Post) -> None:
        post.fake.hold = asyncio.Event()
        for number in range(10):
            await post.put(f"m-{number}", f"49170{number // 2:07}@s.whatsapp.net")
        await post.start()
        await post.asks(PER_BOT)
        assert sorted(post.fake.asked) == ["m-0", "m-2", "m-4"]
        post.fake.hold.set()
        for number in range(10):
            await post.becomes(f"m-{number}", "sent")
        for number in range(0, 10, 2):
            assert post.sent().index(f"m-{number}") < post.sent().index(f"m-{number + 1}")


class TestFailures:
    @pytest.mark.parametrize(
        "said", [(400, "bad-recipient", "no such number"), (502, "send-failed", "WhatsApp refused")]
    )
    async def test_a_rejected_message_fails_and_the_next_is_sent(self, post: Post, said: tuple[int, str, str]) -> None:
        post.fake.refuses[ANN] = [said]
        await post.start()
        await post.put("m-1", content={"type": "image", "mimetype": "image/png"}, file=b"x")
        await post.put("m-2")
        await post.becomes("m-2", "sent")
        row = await post.row("m-1")
        assert (row["state"], row["reason"], row["detail"]) == ("failed", said[1], said[2])
        assert row["failed_at"] is not None
        assert await post.sql("SELECT 1 FROM message_files") == []

    async def test_an_unknown_content_type_fails(self, post: Post) -> None:
        await post.start()
        await post.put("m-1", content={"type": "spell"})
        await post.becomes("m-1", "failed", "invalid-message")
        assert post.fake.asked == []

    async def test_an_offline_bot_gets_its_messages_when_it_is_online_again(self, post: Post) -> None:
        place, post.place = post.place, None
        dispatcher = await post.start(resync_interval=3600)
        await post.put("m-1")
        await asyncio.to_thread(lambda: None)
        assert await post.state("m-1") == ("queued", "")
        post.place = place
        dispatcher.online(BOT)
        await post.becomes("m-1", "sent")

    async def test_an_unreachable_bot_was_not_asked(self, post: Post) -> None:
        assert post.place is not None
        place, post.place = post.place, type(post.place)("127.0.0.99", post.place.token, "volume-1")
        await post.start()
        await post.put("m-1")
        await post.becomes("m-1", "queued", "bot-unreachable")
        await post.move("volume-2")
        post.place = type(place)(place.address, place.token, "volume-2")
        await post.becomes("m-1", "sent")

    async def test_an_expired_message_fails(self, post: Post) -> None:
        post.place = None
        await post.put("m-1")
        await post.sql("UPDATE messages SET created_at = now() - interval '73 hours'")
        await post.start()
        await post.becomes("m-1", "failed", "expired")


class TestAtMostOnce:
    async def test_a_lost_answer_is_requested_again(self, post: Post) -> None:
        post.fake.loses = 1
        await post.start()
        await post.put("m-1")
        await post.becomes("m-1", "sent")
        assert post.sent() == ["m-1"]
        assert post.fake.asked == ["m-1", "m-1"]

    async def test_a_message_survives_a_controller_that_dies_during_the_request(self, post: Post) -> None:
        post.fake.hold = asyncio.Event()
        await post.start()
        await post.put("m-1")
        await post.put("m-2")
        await post.asks()
        await post.stop()
        assert (await post.state("m-1"))[0] == "sending"
        post.fake.hold.set()
        await post.start()
        await post.becomes("m-2", "sent")
        assert post.sent() == ["m-1", "m-2"]

    @pytest.mark.parametrize("steps", range(1, 30, 2))
    async def test_a_message_survives_a_controller_that_dies_at_any_time(self, post: Post, steps: int) -> None:
        """It is cancelled after so many turns of the loop, again and again, until all is sent."""
        for number in range(3):
            await post.put(f"a-{number}")
            await post.put(f"b-{number}", BOB)
        for round_ in range(40):
            await post.start()
            for _ in range(steps * (round_ + 1)):
                await asyncio.sleep(0)
            await post.stop()
        await post.start()
        for name in "ab":
            await post.becomes(f"{name}-2", "sent")
        assert sorted(post.sent()) == sorted(f"{name}-{number}" for name in "ab" for number in range(3))
        for name in "ab":
            assert [sent for sent in post.sent() if sent.startswith(name)] == [f"{name}-{n}" for n in range(3)]

    async def test_a_message_whose_record_was_lost_is_not_sent_again(self, post: Post) -> None:
        post.fake.hold = asyncio.Event()
        await post.start()
        await post.put("m-1")
        await post.asks()
        await post.stop()
        await post.move("volume-2")
        await post.start()
        await post.becomes("m-1", "failed", "outcome-unknown")
        post.fake.hold.set()

    async def test_a_bot_that_has_no_record_fails_the_message(self, post: Post) -> None:
        post.fake.refuses[ANN] = [(504, "outcome-unknown", "?"), (409, "outcome-unknown", "it may have gone out")]
        await post.start()
        await post.put("m-1")
        await post.becomes("m-1", "failed", "outcome-unknown")
        assert post.sent() == []

    async def test_a_new_leader_overrides_the_former_one(self, post: Post) -> None:
        post.fake.hold = asyncio.Event()
        await post.start()
        await post.put("m-1")
        await post.asks()
        await take_over(post.url, "server1")
        post.fake.hold.set()
        error = await post.failed()
        assert isinstance(error, BaseExceptionGroup)
        assert error.subgroup(LeadershipLostError) is not None
        assert (await post.state("m-1"))[0] == "sending"

    async def test_a_message_is_cancelled_or_sent_but_never_both(self, post: Post) -> None:
        await post.start()
        outcomes: list[Any] = []
        bot = await post.bot()

        async def take_back(message_id: str) -> None:
            async with post.database.session() as session:
                try:
                    await cancel(session, bot, message_id)
                    outcomes.append(message_id)
                except ConflictError:
                    pass

        for number in range(20):
            await post.put(f"m-{number}", f"49170{number:07}@s.whatsapp.net")
        await asyncio.gather(*(take_back(f"m-{number}") for number in range(20)))
        for number in range(20):
            await eventually(lambda: post.state(f"m-{number}"), lambda seen: seen[0] in {"sent", "failed"})  # noqa: B023
        assert not set(outcomes) & set(post.sent())
        assert len(outcomes) + len(post.sent()) == 20


async def test_sending_survives_an_outage_of_postgres(post: Post) -> None:
    await post.start()
    for number in range(20):
        await post.put(f"m-{number}", f"49170{number % 5:07}@s.whatsapp.net")
        if number % 5 == 0:
            await post.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    for number in range(20):
        await post.becomes(f"m-{number}", "sent")
    assert sorted(post.sent()) == sorted(f"m-{number}" for number in range(20))
