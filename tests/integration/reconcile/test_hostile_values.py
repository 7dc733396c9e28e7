"""What a compromised bot reports harms neither the other bots of its server nor the api, which serves all tenants."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.reconcile.conftest import Site, eventually

HOSTILE: dict[str, dict[str, Any]] = {
    "year 10000": {"lastHeartbeat": "9999-12-31T23:59:59-14:00"},
    "year 0": {"credsUpdatedAt": "0001-01-01T00:00:00+14:00"},
    "large numbers": {"connectionAttempts": 1 << 40, "eventHistorySize": -(1 << 70)},
    "long texts": {"connection": "x" * 100_000, "phoneNumber": "\0" * 100_000},
}


@pytest.mark.parametrize("fields", HOSTILE.values(), ids=HOSTILE)
async def test_hostile_values_of_one_bot_hold_up_no_other(site: Site, fields: dict[str, Any]) -> None:
    await site.start()
    await site.create("bot-1")
    await site.phase("bot-1", "online")
    runtime = site.runtime("bot-1")
    runtime.health_fields = fields
    probes = runtime.probes

    async def probed() -> bool:
        return runtime.probes > probes + 3

    await eventually(probed)
    await site.create("bot-2")
    await site.phase("bot-2", "online")
    rows = await site.sql(
        "SELECT to_jsonb(bot_status)::text FROM bot_status WHERE bot_key = (SELECT key FROM bots WHERE id = 'bot-1')"
    )
    assert len(rows[0]) < 10_000
    assert await site.sql("SELECT last_heartbeat, creds_updated_at FROM bot_status")
    assert await site.sql("SELECT count(*) FROM bot_events WHERE timestamp > now()") == [0]


@pytest.mark.parametrize(
    "timestamp",
    ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2999-01-01T00:00:00Z", "2030-01-01T00:00:00"],
)
async def test_events_with_impossible_times_get_the_time_of_storing_and_are_stored_once(
    site: Site, timestamp: str
) -> None:
    acting = await site.start()
    await site.create("bot-1")
    await site.phase("bot-1", "online")
    spool = site.runtime("bot-1").spool
    number = len(spool.events) + 1
    group = {"id": "1@g.us", "subject": "", "description": "", "owner": None, "createdAt": timestamp}
    spool.as_sent = {number: {"seq": number, "type": "group-update", "data": {"group": group}, "timestamp": timestamp}}
    spool.put("group-update", {})
    spool.put("connected", {})
    await eventually(lambda: site.events("bot-1", "connected"))
    # Sent again, as after a commit whose answer was lost.
    await site.sql(
        "UPDATE bot_status SET spool_id = NULL, spool_seq = 0 "
        "WHERE bot_key = (SELECT key FROM bots WHERE id = 'bot-1') RETURNING 1"
    )
    await acting.stop()
    await site.start()
    spool.put("error", {})
    await eventually(lambda: site.events("bot-1", "error"))
    [stored] = await site.sql(
        "SELECT timestamp FROM bot_events "
        "WHERE bot_key = (SELECT key FROM bots WHERE id = 'bot-1') AND type = 'group-update'"
    )
    assert abs(datetime.now(UTC) - stored) < timedelta(hours=1)
    await site.sql("SELECT created_at FROM groups")
