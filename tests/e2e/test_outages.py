"""Postgres or the Docker engine fails and recovers: bots keep running or are started again, and nothing is deleted."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from docker.models.containers import Container

from tests.support.databases import Template, own_database
from tests.support.eventually import eventually
from tests.support.fleet import BOT_IMAGE, Fleet
from tests.support.own_engine import OwnEngine
from tests.support.own_postgres import own_postgres

pytestmark = [pytest.mark.docker, pytest.mark.slow]

BOTS = {"out-a": "491700000501", "out-b": "491700000502", "out-c": "491700000503"}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[OwnEngine]:
    """A separate engine with the bot image."""
    engine = OwnEngine(tmp_path / "engine")
    try:
        engine.load_images([BOT_IMAGE])
        yield engine
    finally:
        engine.close()


@pytest.fixture
def engine_fleet(engine: OwnEngine, postgres_url: str, postgres_template: Template, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet on that engine, with one controller and the api."""
    with (
        own_database(postgres_url, postgres_template, "engine") as url,
        Fleet(database_url=url, admin_key=postgres_template.admin_key, logs=tmp_path, engine=engine) as fleet,
    ):
        fleet.start()
        yield fleet


def test_the_fleet_recovers_from_a_restart_of_the_engine(engine: OwnEngine, engine_fleet: Fleet) -> None:
    fleet = engine_fleet
    for bot, phone in BOTS.items():
        fleet.online(bot, phone)
    fleet.call("POST", "/api/bots/out-c/stop")
    fleet.wait_phase("out-c", "stopped")
    containers = fleet.containers()

    engine.stop()
    engine.start()
    for bot in ("out-a", "out-b"):
        fleet.wait_status(
            bot, lambda status: status["restarts"] == 1 and status["phase"] == "online", what="its recovery"
        )
        assert len(fleet.events(bot, "qr")) == 1
        assert fleet.phones.ask("491511110500", BOTS[bot], ".ping") == "pong"
    assert fleet.status("out-c")["phase"] == "stopped"
    assert fleet.containers() == containers

    engine.kill()
    engine.start()
    for bot in ("out-a", "out-b"):
        fleet.wait_phase(bot, "online")
        assert fleet.phones.ask("491511110500", BOTS[bot], ".ping") == "pong"

    engine.stop()
    engine.lose_data()
    engine.start()
    server = eventually(
        lambda: fleet.call("GET", f"/api/servers/{fleet.server}"),
        lambda server: server["controller"]["refused"],
        what="the controller to refuse the engine without the sessions",
    )
    assert server["controller"]["refused"]["engineId"] != server["controller"]["engineId"]
    assert f"botdock server rebind {fleet.server}" in fleet.controllers[-1].tail(50)
    assert fleet.containers() == []
    assert engine.volumes() == [], "no bot is started with an empty session"


def test_a_full_disk_is_reported_and_running_bots_wait_for_room(
    postgres_url: str, postgres_template: Template, tmp_path: Path
) -> None:
    with (
        closing(OwnEngine(tmp_path / "engine", data_megabytes=700)) as engine,
        own_database(postgres_url, postgres_template, "full_disk") as url,
    ):
        engine.load_images([BOT_IMAGE])
        with Fleet(database_url=url, admin_key=postgres_template.admin_key, logs=tmp_path, engine=engine) as fleet:
            fleet.start()
            fleet.online("disk-old", "491700000511")
            started = fleet.started_at("disk-old")
            ballast = engine.fill_up()
            fleet.create("disk-new")
            status = fleet.wait_status("disk-new", lambda status: status["reason"] == "disk-full")
            assert status["phase"] == "backing-off"
            status = fleet.wait_status("disk-old", lambda status: status["reason"] == "disk-full")
            assert (status["phase"], status["restarts"]) == ("degraded", 0)
            fleet.phones.write("491511110510", "491700000511", "meanwhile")
            ballast.unlink()
            fleet.wait_phase("disk-new", "pairing")
            fleet.wait_phase("disk-old", "online")
            eventually(
                lambda: [event for event in fleet.events("disk-old", "message-upsert") if "meanwhile" in str(event)],
                what="the message that WhatsApp kept",
            )
            assert fleet.started_at("disk-old") == started


@pytest.fixture
def postgres() -> Iterator[tuple[Container, str]]:
    """A Postgres server that the test may stop, and its URL, which does not change."""
    with own_postgres() as running:
        yield running


def test_bots_keep_running_while_postgres_is_unavailable(postgres: tuple[Container, str], tmp_path: Path) -> None:
    from orchestrator.db.migrate import migrate_when_reachable
    from orchestrator.settings import Settings

    container, url = postgres
    key = migrate_when_reachable(Settings(database_url=url)).first_key
    assert key is not None
    with Fleet(database_url=url, admin_key=key, logs=tmp_path) as fleet:
        fleet.start()
        controller = fleet.controllers[-1]
        for bot, phone in BOTS.items():
            fleet.online(bot, phone)
        containers, started = fleet.containers(), fleet.started_at("out-a")

        container.stop(timeout=2)
        assert fleet.request("GET", "/api/bots").status_code == 503
        assert fleet.request("GET", "/livez").status_code == 200
        eventually(lambda: "stepping down" in controller.tail(400), what="the controller to step down")
        assert fleet.phones.ask("491511110520", BOTS["out-a"], ".ping") == "pong"
        fleet.container("out-b").kill("KILL")
        container.start()

        fleet_back = lambda: fleet.request("GET", "/api/bots").status_code  # noqa: E731
        eventually(fleet_back, lambda code: code == 200, what="the api")
        fleet.wait_status("out-b", lambda status: status["restarts"] == 1 and status["phase"] == "online")
        fleet.wait_phase("out-a", "online")
        assert fleet.started_at("out-a") == started
        assert fleet.containers() == containers
        arrived = [event for event in fleet.events("out-a", "message-upsert") if ".ping" in str(event["data"])]
        assert len(arrived) == 1, "the message received during the outage is recorded once"
