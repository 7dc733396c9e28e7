"""A bot whose runtime is newer than the controller: it is not replaced for that, and its events are stored."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.reconcile.conftest import Site, eventually, name


async def running(site: Site) -> None:
    await site.start(startup_timeout=1)
    await site.create("bot-1")
    await site.phase("bot-1", "online")


async def probed_again(site: Site) -> None:
    """Wait until the bot was probed more often than it takes to be replaced: its heartbeat is newer than its state."""
    runtime = site.runtime("bot-1")
    for _ in range(4):
        number = runtime.probes
        await site.seen(lambda: runtime.probes, lambda seen, number=number: seen > number)  # type: ignore[misc]


async def test_an_unknown_state_of_the_connection_is_shown_and_the_bot_lives(site: Site) -> None:
    await running(site)
    site.runtime("bot-1").connection = "hibernating"
    site.runtime("bot-1").health_fields = {"mood": {"level": 3}}
    status = await site.phase("bot-1", "degraded")
    assert (status["reason"], status["connection"], status["healthy"]) == ("unknown-state", "hibernating", True)
    await probed_again(site)
    assert site.host.containers[name("bot-1")].starts == 1


@pytest.mark.parametrize("fields", [{"memoryBytes": "12 MB"}, {"events": None, "bootId": 7}])
async def test_a_health_that_cannot_be_read_is_a_sign_of_life(site: Site, fields: dict[str, Any]) -> None:
    await running(site)
    site.runtime("bot-1").health_fields = fields
    status = await site.phase("bot-1", "degraded")
    assert status["reason"] == "protocol-violation"
    assert "update the controller" in status["message"]
    await probed_again(site)
    assert site.host.containers[name("bot-1")].starts == 1


async def test_a_new_container_whose_health_cannot_be_read_is_not_replaced(site: Site) -> None:
    site.host.health_fields = {"memoryBytes": "12 MB"}
    await site.start(startup_timeout=1)
    await site.create("bot-1")
    await site.phase("bot-1", "degraded")
    await probed_again(site)
    assert site.host.containers[name("bot-1")].starts == 1
    site.runtime("bot-1").spool.put("connected", {})
    await eventually(lambda: site.events("bot-1", "connected"), lambda seen: seen == [{}])


async def test_events_that_cannot_be_read_are_stored_and_hold_up_none_after_them(site: Site) -> None:
    await running(site)
    spool = site.runtime("bot-1").spool
    last = len(spool.events)
    soon = f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    newer = {"seq": last + 1, "type": "hologram-received", "data": [1, 2], "timestamp": soon}
    spool.as_sent = {
        last + 1: newer,
        last + 2: {"seq": "two"},
        last + 3: 3,
        last + 4: {**newer, "seq": 1 << 70},
        last + 5: {"seq": last + 5, "type": "call", "timestamp": "at noon"},
    }
    for kind in ("hologram-received", "error", "error", "error", "call", "connected"):
        spool.put(kind, {})
    assert await eventually(lambda: site.events("bot-1", "connected")) == [{}]
    [stored] = await site.events("bot-1", "hologram-received")
    assert json.loads(stored["unreadable"]) == newer
    assert await site.events("bot-1", "error") == []
    kinds = "SELECT type FROM bot_events WHERE data ? 'unreadable' AND timestamp {} ORDER BY 1"
    assert await site.sql(kinds.format(f"= '{soon}'")) == ["hologram-received"]
    assert await site.sql(kinds.format("BETWEEN now() - interval '1 hour' AND now()")) == ["call"]


async def test_unknown_types_of_events_and_unknown_data_are_stored_as_they_are(site: Site) -> None:
    await running(site)
    spool = site.runtime("bot-1").spool
    spool.put("hologram-received", {"beams": [1, 2]})
    spool.put("message-ack", {"messageIds": "not a list", "state": "teleported"})
    spool.put("message-ack", {"messageIds": ["x"], "state": "teleported"})
    spool.put("connected", {"phoneNumber": "491700000001", "planet": "Mars"})
    assert await eventually(lambda: site.events("bot-1", "connected")) == [
        {"phoneNumber": "491700000001", "planet": "Mars"}
    ]
    assert await site.events("bot-1", "hologram-received") == [{"beams": [1, 2]}]
    assert len(await site.events("bot-1", "message-ack")) == 2
