"""The health of all containers, in the format that existing programs know."""

import httpx

from tests.integration.api.conftest import Fleet


async def test_the_documented_format(operator: httpx.AsyncClient, fleet: Fleet) -> None:
    await operator.post("/api/bots", json={"id": "bot-123", "name": "Support"})
    await fleet.observe(
        "bot-123",
        phase="online",
        container_id="c0ffee",
        container_state="running",
        healthy=True,
        last_heartbeat="2025-12-28T10:30:00Z",
        connection_attempts=0,
        creds_updated_at="2025-12-28T10:00:00Z",
        event_history_size=45,
    )
    answer = await operator.get("/api/bots/containers/health")
    assert answer.json() == {
        "bot-123": {
            "containerId": "server1:bot-123",
            "botStatus": "online",
            "containerState": "running",
            "isHealthy": True,
            "lastHeartbeat": "2025-12-28T10:30:00Z",
            "connectionAttempts": 0,
            "credsLastUpdated": "2025-12-28T10:00:00Z",
            "eventHistorySize": 45,
        }
    }


async def test_a_bot_without_a_container(operator: httpx.AsyncClient, bot: str) -> None:
    assert (await operator.get("/api/bots/containers/health")).json() == {
        bot: {
            "containerId": f"server1:{bot}",
            "botStatus": "pending",
            "containerState": None,
            "isHealthy": False,
            "lastHeartbeat": None,
            "connectionAttempts": 0,
            "credsLastUpdated": None,
            "eventHistorySize": 0,
        }
    }


async def test_a_bot_can_have_the_id_containers(operator: httpx.AsyncClient) -> None:
    await operator.post("/api/bots", json={"id": "containers", "name": "odd"})
    assert (await operator.get("/api/bots/containers")).json()["name"] == "odd"
    assert list((await operator.get("/api/bots/containers/health")).json()) == ["containers"]
