"""An operator's actions on real containers: approve, stop, start, restart, delete."""

import pytest

from tests.support.eventually import eventually
from tests.support.fleet import Fleet

pytestmark = pytest.mark.docker


def test_only_an_approved_bot_gets_a_container(fleet: Fleet) -> None:
    fleet.create("lc-waits", approve=False)
    fleet.create("lc-runs")
    fleet.wait_phase("lc-runs", "pairing")
    fleet.call("POST", "/api/bots/lc-waits/reject")
    fleet.wait_status("lc-waits", lambda status: status["reason"] == "rejected")

    assert fleet.containers() == [fleet.name("lc-runs")]
    fleet.delete("lc-runs")
    fleet.delete("lc-waits")


def test_withdrawing_the_approval_removes_the_container(fleet: Fleet) -> None:
    fleet.create("lc-refused")
    fleet.wait_phase("lc-refused", "pairing")
    fleet.call("POST", "/api/bots/lc-refused/reject")
    fleet.wait_phase("lc-refused", "pending")
    assert fleet.name("lc-refused") not in fleet.containers()
    fleet.delete("lc-refused")


def test_stop_keeps_the_session_and_start_needs_no_qr(fleet: Fleet) -> None:
    fleet.online("lc-stop", "491700000101")
    codes = len(fleet.events("lc-stop", "qr"))
    fleet.call("POST", "/api/bots/lc-stop/stop")
    fleet.wait_phase("lc-stop", "stopped")
    assert not fleet.phones.connected("491700000101")
    assert fleet.volume_exists("lc-stop")

    fleet.call("POST", "/api/bots/lc-stop/start")
    fleet.wait_phase("lc-stop", "online")
    assert len(fleet.events("lc-stop", "qr")) == codes
    assert fleet.phones.ask("491511110101", "491700000101", ".ping") == "pong"
    fleet.delete("lc-stop")


def test_restart_keeps_the_session_and_a_fresh_restart_pairs_again(fleet: Fleet) -> None:
    fleet.online("lc-restart", "491700000102")
    before = fleet.started_at("lc-restart")
    fleet.call("POST", "/api/bots/lc-restart/restart")
    eventually(lambda: fleet.status("lc-restart")["phase"], lambda phase: phase != "online")
    fleet.wait_phase("lc-restart", "online")
    assert fleet.started_at("lc-restart") != before

    fleet.call("POST", "/api/bots/lc-restart/restart", {"fresh": True})
    fleet.wait_phase("lc-restart", "pairing")
    fleet.pair("lc-restart", "491700000102")
    fleet.delete("lc-restart")


def test_delete_removes_container_volume_and_row(fleet: Fleet) -> None:
    fleet.online("lc-delete", "491700000103")
    fleet.call("DELETE", "/api/bots/lc-delete")
    eventually(lambda: fleet.request("GET", "/api/bots/lc-delete").status_code, lambda code: code == 404)
    assert fleet.name("lc-delete") not in fleet.containers()
    assert not fleet.volume_exists("lc-delete")


def test_changed_limits_replace_the_container_and_keep_the_session(fleet: Fleet) -> None:
    fleet.online("lc-drift", "491700000104")
    before = fleet.container("lc-drift").id
    fleet.call("PATCH", "/api/bots/lc-drift", {"limits": {"memoryBytes": 200 << 20}})
    eventually(lambda: fleet.status("lc-drift")["containerId"], lambda now: now not in (None, before))
    fleet.wait_phase("lc-drift", "online")
    assert fleet.container("lc-drift").attrs["HostConfig"]["Memory"] == 200 << 20
    fleet.delete("lc-drift")


def test_changed_settings_apply_without_a_restart(fleet: Fleet) -> None:
    fleet.online("lc-live", "491700000105")
    before = fleet.started_at("lc-live")
    fleet.call("PATCH", "/api/bots/lc-live", {"settings": {"prefix": "!"}})

    def answered() -> bool:
        try:
            return fleet.phones.ask("491511110105", "491700000105", "!ping", deadline=2) == "pong"
        except TimeoutError:
            return False

    eventually(answered, what="an answer to the new prefix")
    assert fleet.started_at("lc-live") == before
    fleet.delete("lc-live")
