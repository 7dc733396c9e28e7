"""Whatever is stored for one bot, all calls answer, and show it on that bot only."""

import json

import httpx
import pytest

from tests.integration.api.conftest import Fleet
from tests.support.bad_rows import DEEP, statements

BAD = "bad"
LISTS = [
    *("/api/bots", "/api/bots/containers/health", "/api/whatsapp/sessions", "/api/whatsapp/metrics"),
    *("/metrics", "/health", "/api/servers", "/api/servers/server1"),
    *(f"/api/bots/{BAD}", f"/api/bots/{BAD}/events", f"/api/bots/{BAD}/events?after=0", f"/api/bots/{BAD}/groups"),
    *(f"/api/bots/{BAD}/messages", f"/api/whatsapp/sessions/{BAD}"),
]
GROUP = "120363041234567890@g.us"


async def all_answer(admin: httpx.AsyncClient, viewer: httpx.AsyncClient) -> None:
    for path in LISTS:
        for client in (admin, viewer):
            answer = await client.get(path)
            assert answer.status_code == 200, (path, answer.text[:500])
    health = (await admin.get("/api/bots/containers/health")).json()
    assert health["bot-1"]["connectionAttempts"] == 0
    assert BAD in health
    assert [bot["id"] for bot in (await admin.get("/api/bots")).json()["items"]] == [BAD, "bot-1"]


@pytest.mark.parametrize("statement", statements(BAD).values(), ids=statements(BAD))
async def test_every_call_answers_whatever_the_row_of_one_bot_has(
    admin: httpx.AsyncClient, viewer: httpx.AsyncClient, fleet: Fleet, bot: str, statement: str
) -> None:
    assert bot == "bot-1"
    await admin.post("/api/bots", json={"id": BAD, "name": "Bad", "serverName": "server1"})
    await fleet.sql("UPDATE bot_status SET messages_received = 9223372036854775807")
    await fleet.sql(statement)
    await all_answer(admin, viewer)
    for action in ("approve", "stop", "start", "restart"):
        answer = await admin.post(f"/api/bots/{BAD}/{action}")
        assert answer.status_code in {200, 202}, answer.text
    assert (await admin.patch(f"/api/bots/{BAD}", json={"name": "Good"})).status_code == 200
    assert (await admin.delete(f"/api/bots/{BAD}")).status_code in {200, 202, 204}


async def test_every_call_answers_whatever_the_events_and_groups_of_one_bot_have(
    admin: httpx.AsyncClient, viewer: httpx.AsyncClient, fleet: Fleet, bot: str
) -> None:
    assert bot == "bot-1"
    await admin.post("/api/bots", json={"id": BAD, "name": "Bad", "serverName": "server1"})
    times = ["0044-03-15 12:00+00 BC", "infinity", "-infinity", "294276-12-31 00:00+00", "9999-12-31 23:59:59-14"]
    data = [
        "[1, 2]",
        "null",
        '"text"',
        DEEP,
        '{"n": ' + "9" * 5000 + "}",
        '{"n": 1e400}',
        json.dumps({"a": "x" * 9000}),
    ]
    for time in times:
        for value in data:
            await fleet.sql(
                "INSERT INTO bot_events (server_name, bot_key, type, data, timestamp) "
                "SELECT server_name, key, E'\\n', CAST(%(data)s AS jsonb), CAST(%(time)s AS timestamptz) "
                "FROM bots WHERE id = %(bot)s",
                bot=BAD,
                data=value,
                time=time,
            )
    for number, time in enumerate(times):
        await fleet.sql(
            "INSERT INTO groups (id, bot_key, server_name, subject, description, owner, created_at, updated_at) "
            "SELECT %(id)s, key, server_name, E'\\n', '', '<b>', CAST(%(time)s AS timestamptz), '-infinity' "
            "FROM bots WHERE id = %(bot)s",
            id=f"{GROUP[:-6]}{number}@g.us",
            bot=BAD,
            time=time,
        )
    await all_answer(admin, viewer)
    events = (await admin.get(f"/api/bots/{BAD}/events?limit=200")).json()["items"]
    assert len(events) == len(times) * len(data)
    assert {event["timestamp"][:4] for event in events} == {"0001", "9999"}
    assert {"unreadable": [1, 2]} in [event["data"] for event in events]
    assert len((await admin.get(f"/api/bots/{BAD}/groups")).json()["items"]) == len(times)
