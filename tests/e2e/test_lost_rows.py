"""Rows are lost from Postgres: no session is, and a bot never takes over that of an earlier one by itself."""

import os
import subprocess
import sys

import psycopg
import pytest

from tests.support.eventually import eventually
from tests.support.fleet import Fleet
from tests.support.processes import ROOT, measured

pytestmark = [pytest.mark.docker, pytest.mark.slow]

BOT, PHONE = "lost", "491700000461"


def volumes(fleet: Fleet, *arguments: str) -> str:
    """The output of `botdock volumes`."""
    settings = {"DATABASE_URL": fleet.database_url, "SERVER_NAME": fleet.server}
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "volumes", *arguments],
        env={"PATH": os.environ["PATH"], **measured(), **settings},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def delete_from(fleet: Fleet, table: str, column: str) -> None:
    with psycopg.connect(fleet.database_url, autocommit=True) as connection:
        connection.execute(f"DELETE FROM {table} WHERE {column} = (SELECT key FROM bots WHERE id = %s)", [BOT])  # type: ignore[call-overload, unused-ignore]


def test_sessions_outlive_their_rows(bare_fleet: Fleet) -> None:
    fleet = bare_fleet
    controller = fleet.start_controller()
    fleet.create(BOT)
    first = fleet.wait_phase(BOT, "pairing")["containerId"]
    fleet.call("POST", f"/api/bots/{BOT}/restart", {"fresh": True})
    fleet.wait_status(BOT, lambda status: status["phase"] == "pairing" and status["containerId"] != first)
    fleet.pair(BOT, PHONE)
    name = fleet.name(BOT)

    controller.stop()
    delete_from(fleet, "bot_status", "bot_key")
    fleet.container(BOT).remove(force=True)
    fleet.start_controller()
    fleet.wait_phase(BOT, "online")
    assert fleet.phones.ask("491511110461", PHONE, ".ping") == "pong", "the session that was reset once is kept"

    delete_from(fleet, "bots", "key")
    eventually(fleet.containers, lambda containers: containers == [], what="the container without a bot to go")
    assert f"{name}  {BOT}  orphaned" in volumes(fleet, "list")
    fleet.create(BOT)
    status = fleet.wait_phase(BOT, "backing-off")
    assert status["reason"] == "orphaned-volume"
    assert fleet.containers() == []
    volumes(fleet, "adopt", name)
    fleet.wait_phase(BOT, "online")
    assert fleet.events(BOT, "qr") == [], "without pairing"
    assert f"{name}  {BOT}  in use" in volumes(fleet, "list")

    delete_from(fleet, "bots", "key")
    eventually(fleet.containers, lambda containers: containers == [], what="the container without a bot to go")
    volumes(fleet, "remove", name, "--yes")
    fleet.create(BOT)
    fleet.wait_phase(BOT, "pairing")
