"""A bot that breaks its protocol is shown as one that does. It keeps its container, and harms no other bot."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bot_runtime.contract import Event, EventPage
from orchestrator.db.session import Database
from orchestrator.reconcile import probe_observer
from orchestrator.reconcile.ingestion import ingest
from orchestrator.reconcile.status_store import StatusStore
from tests.integration.reconcile.conftest import SERVER, Site, eventually, name
from tests.support.leases import take_over


async def running(site: Site) -> None:
    await site.start(startup_timeout=1)
    for bot in ("bot-1", "bot-2"):
        await site.create(bot)
        await site.phase(bot, "online")


async def sources(site: Site, bot: str) -> set[tuple[str, str]]:
    """The types of a bot's events and who recorded them."""
    return set(await site.sql("SELECT type, source FROM bot_events JOIN bots ON bot_key = key WHERE bots.id = %s", bot))


async def test_a_violation_is_shown_until_some_time_after_the_last_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe_observer, "VIOLATION_SECONDS", 1.0)
    await running(site)
    runtime = site.runtime("bot-1")
    runtime.health_fields = {"credsUpdatedAt": "0001-01-01T00:00:00+14:00"}
    status = await site.phase("bot-1", "degraded")
    assert status["reason"] == "protocol-violation"
    assert "creds_updated_at" in status["message"]
    assert status["creds_updated_at"] is None
    [change] = [event for event in await site.events("bot-1", "phase-change") if event["to"] == "degraded"]
    assert change["reason"] == "protocol-violation"
    runtime.health_fields = {}
    await site.phase("bot-1", "online")
    assert site.host.containers[name("bot-1")].starts == 1
    assert [event["reason"] for event in await site.events("bot-2", "phase-change")].count("protocol-violation") == 0


async def test_events_of_the_orchestrator_are_refused_from_a_bot(site: Site) -> None:
    await running(site)
    spool = site.runtime("bot-1").spool
    spool.put("phase-change", {"from": "online", "to": "banned", "reason": "", "message": ""})
    spool.put("container-oom", {"containerId": "x"})
    spool.put("connected", {})
    status = await site.phase("bot-1", "degraded")
    assert status["reason"] == "protocol-violation"
    await eventually(lambda: site.events("bot-1", "connected"))
    assert await site.events("bot-1", "container-oom") == []
    assert "banned" not in {event["to"] for event in await site.events("bot-1", "phase-change")}
    replaced = await site.events("bot-1", "protocol-violation")
    assert [event["type"] for event in replaced] == ["phase-change", "container-oom"]
    assert await sources(site, "bot-1") == {
        ("phase-change", "orchestrator"),
        ("container-start", "orchestrator"),
        ("protocol-violation", "orchestrator"),
        ("connected", "bot"),
    }


async def test_bots_that_break_their_protocol_do_not_delay_the_replacement_of_one_that_hangs(site: Site) -> None:
    await running(site)
    await site.create("bot-3")
    await site.phase("bot-3", "online")
    for bot in ("bot-1", "bot-2"):
        site.runtime(bot).health_fields = {"since": "never"}
        await site.phase(bot, "degraded")
    hung = site.runtime("bot-3")
    hung.silent = True
    await site.seen(lambda: site.host.runtimes.get(name("bot-3"), hung), lambda runtime: runtime is not hung)
    await site.phase("bot-3", "online")
    assert [site.host.containers[name(bot)].starts for bot in ("bot-1", "bot-2")] == [1, 1]


async def test_a_violating_answer_to_a_message_is_shown(site: Site) -> None:
    await running(site)
    runtime = site.runtime("bot-1")
    runtime.message_id = "../x"
    await site.sql(
        "INSERT INTO messages (id, server_name, bot_key, to_chat, content, request_hash, slot_at) "
        "SELECT 'm', server_name, key, '1@lid', '{\"type\": \"text\", \"text\": \"x\"}', '', now() "
        "FROM bots WHERE id = 'bot-1'"
    )
    status = await site.phase("bot-1", "degraded")
    assert status["reason"] == "protocol-violation"
    assert await site.sql("SELECT state, reason FROM messages") == [("sending", "no-answer")]


@pytest.mark.parametrize(
    "data",
    [
        {"group": {"id": "../../../x", "subject": "", "description": "", "owner": None, "createdAt": None}},
        {"left": "%"},
        {"groups": ["1@g.us", "'"]},
        {"group": {"id": "1@g.us", "subject": "", "description": "", "owner": None, "createdAt": None}, "gone": ["x"]},
    ],
)
async def test_groups_without_a_valid_id_have_no_effect(site: Site, data: dict[str, Any]) -> None:
    await running(site)
    spool = site.runtime("bot-1").spool
    spool.put("group-update", data)
    spool.put("connected", {})
    await eventually(lambda: site.events("bot-1", "connected"))
    assert await site.sql("SELECT id FROM groups") == []


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("message-ack", {"messageIds": ["x" * 100_000, "a\0b", *map(str, range(15_000))], "state": "read"}),
        ("settings-update", {"settings": {"channelReactions": [{"channel": "x", "emoji": "y"}] * 3_000}}),
        ("events-dropped", {"count": 1 << 63, "total": -1}),
        ("message-upsert", {"messages": [None] * 15_000}),
        ("connection-update", {"state": {"state": "reconnecting"}}),
    ],
)
async def test_events_with_extreme_data_are_stored_and_hold_up_none_after_them(
    site: Site, kind: str, data: dict[str, Any]
) -> None:
    await running(site)
    await site.sql(
        "INSERT INTO messages (id, server_name, bot_key, to_chat, content, request_hash, state) "
        "SELECT 'm', server_name, key, '1@lid', '{}', '', 'sending' FROM bots WHERE id = 'bot-1'"
    )
    spool = site.runtime("bot-1").spool
    spool.put(kind, data)
    spool.put("connected", {})
    await eventually(lambda: site.events("bot-1", "connected"))
    assert len(await site.events("bot-1", kind)) == 1
    assert await site.sql("SELECT count(*) FROM bots WHERE length(settings::text) > 100000") == [0]
    assert await site.sql("SELECT count(*) FROM early_acks WHERE length(whatsapp_id) > 128") == [0]


async def test_a_bot_that_breaks_its_protocol_can_be_stopped_and_deleted(site: Site) -> None:
    await running(site)
    site.runtime("bot-1").health_fields = {"since": "never"}
    await site.phase("bot-1", "degraded")
    await site.sql("UPDATE bots SET desired_state = 'stopped' WHERE id = 'bot-1'")
    await site.phase("bot-1", "stopped")
    await site.sql("UPDATE bots SET deleting = true WHERE id = 'bot-1'")
    await eventually(lambda: site.sql("SELECT id FROM bots"), lambda ids: ids == ["bot-2"])


async def test_an_event_that_postgres_refuses_is_replaced(site: Site) -> None:
    await site.create("bot-1")
    database = Database(site.settings())
    store = StatusStore(database, server=SERVER, epoch=await take_over(site.url, SERVER))
    row = await store.bot("bot-1")
    assert row is not None
    data: list[dict[str, Any]] = [{"a": 1}, {"a": "\ud800"}, {"a": 3}]
    now = datetime.now(UTC)
    items = [Event(seq=seq, type="error", data=item, timestamp=now) for seq, item in enumerate(data, start=1)]
    try:
        for _ in range(2):
            refused = await ingest(store, row[0], EventPage(spool_id="s", items=items, next=4))
        assert "event 2" in refused
    finally:
        await database.close()
    assert await site.sql("SELECT seq, type, source FROM bot_events ORDER BY seq") == [
        (1, "error", "bot"),
        (2, "protocol-violation", "orchestrator"),
        (3, "error", "bot"),
    ]
    assert await site.sql("SELECT spool_seq FROM bot_status") == [4]
