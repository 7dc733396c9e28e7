"""Two servers on one engine with bots of the same id: neither reaches the other's container, session or messages."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psycopg
import pytest

from orchestrator.db.keys import hash_key, new_key
from tests.support.databases import Template, own_database
from tests.support.fleet import Fleet

pytestmark = [pytest.mark.docker, pytest.mark.slow]

BOT, PHONE, ANN = "shop", "491700000471", "491511110471"


def tenant(url: str, server: str, logs: Path) -> Fleet:
    """A server whose operator makes all calls."""
    key_id, key = new_key()
    fleet = Fleet(database_url=url, admin_key=key, logs=logs, server=server)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO api_keys (id, name, role, server_name, key_hash) VALUES (%s, 'tenant', 'operator', %s, %s)",
            [key_id, server, hash_key(key)],
        )
    return fleet


@pytest.fixture
def tenants(postgres_url: str, postgres_template: Template, tmp_path: Path) -> Iterator[tuple[Fleet, Fleet]]:
    """Without a dot in its name, the container of the second one's `shop` would be that of the first one's `b-shop`."""
    name = f"t{uuid.uuid4().hex[:8]}"
    with own_database(postgres_url, postgres_template, "namesakes") as url, ExitStack() as stack:
        first, second = (stack.enter_context(tenant(url, server, tmp_path)) for server in (name, f"{name}-b"))
        controller = second.start_controller(wait=False)
        first.start()
        second.use_api_of(first)
        controller.wait_ready()
        yield first, second


def test_bots_of_two_servers_with_the_same_id_do_not_meet(
    tenants: tuple[Fleet, Fleet], postgres_template: Template
) -> None:
    first, second = tenants
    for fleet in tenants:
        fleet.create(BOT)
    first.create("b-shop")
    for fleet in tenants:
        fleet.pair(BOT, PHONE)
    first.wait_phase("b-shop", "pairing")
    assert first.containers() == [f"botdock-{first.server}-b-shop", f"botdock-{first.server}-shop"]
    assert second.containers() == [f"botdock-{second.server}.shop"]
    assert [bot["id"] for bot in second.call("GET", "/api/bots")["items"]] == [BOT]

    url = f"{first.apis[0].url}/api/bots/{BOT}"
    admin = {"X-Api-Key": postgres_template.admin_key}
    assert httpx.get(url, headers=admin).json()["code"] == "ambiguous-bot"
    named = httpx.get(url, headers=admin, params={"serverName": second.server}).json()
    assert named["status"]["containerName"] == second.name(BOT)

    started = second.started_at(BOT)
    first.container(BOT).kill()
    first.wait_status(BOT, lambda status: status["restarts"] == 1 and status["phase"] == "online")
    assert first.phones.ask(ANN, PHONE, ".ping") == "pong"
    first.call("POST", f"/api/bots/{BOT}/messages?wait=30", {"to": ANN, "message": "of the first"})
    first.phones.arrived(ANN, lambda item: item["text"] == "of the first")
    assert second.call("GET", f"/api/bots/{BOT}/messages")["items"] == []
    first.delete(BOT)
    assert first.containers() == [f"botdock-{first.server}-b-shop"]
    assert not first.volume_exists(BOT)

    assert second.phones.ask(ANN, PHONE, ".ping") == "pong"
    assert [item["text"] for item in second.phones.inbox(ANN)] == ["pong"]
    assert (second.status(BOT)["phase"], second.status(BOT)["restarts"]) == ("online", 0)
    assert second.started_at(BOT) == started
    first.create(BOT)
    assert first.wait_phase(BOT, "pairing")["restarts"] == 0
