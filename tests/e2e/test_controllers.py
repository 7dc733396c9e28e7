"""Controllers are stopped, killed and replaced: bots keep running, and no bot ever has more than one container."""

import pytest

from tests.support.eventually import eventually
from tests.support.fleet import Fleet

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def test_a_new_controller_adopts_running_bots(bare_fleet: Fleet) -> None:
    fleet = bare_fleet
    first = fleet.start_controller()
    fleet.online("adopt-a", "491700000401")
    fleet.online("adopt-b", "491700000402")
    started = [fleet.started_at(bot) for bot in ("adopt-a", "adopt-b")]

    assert first.stop() == 0
    assert fleet.phones.ask("491511110401", "491700000401", ".ping") == "pong", "bots keep running without a controller"
    second = fleet.start_controller()
    assert fleet.status("adopt-a")["phase"] == "online", "adopted, not restarted"
    second.kill()
    fleet.start_controller()

    fleet.wait_phase("adopt-a", "online")
    fleet.wait_phase("adopt-b", "online")
    assert [fleet.started_at(bot) for bot in ("adopt-a", "adopt-b")] == started
    assert [fleet.status(bot)["restarts"] for bot in ("adopt-a", "adopt-b")] == [0, 0]
    events = [event["data"]["to"] for event in fleet.events("adopt-a", "phase-change")]
    assert events[-1] == "online"
    assert events.count("online") == 1, "a controller's restart is no change of a bot's phase"


def test_a_new_controller_catches_up_with_changes_made_in_its_absence(bare_fleet: Fleet) -> None:
    fleet = bare_fleet
    first = fleet.start_controller()
    fleet.online("away-crash", "491700000411")
    fleet.online("away-stop", "491700000412")
    fleet.online("away-gone", "491700000413")
    first.kill()
    fleet.container("away-crash").kill("KILL")
    fleet.container("away-gone").remove(force=True)
    fleet.call("POST", "/api/bots/away-stop/stop")
    fleet.create("away-new")

    fleet.start_controller()
    fleet.wait_phase("away-crash", "online")
    fleet.wait_phase("away-gone", "online")
    fleet.wait_phase("away-stop", "stopped")
    fleet.wait_phase("away-new", "pairing")
    assert fleet.status("away-crash")["lastExit"]["reason"] == "killed"
    assert fleet.status("away-gone")["lastExit"]["reason"] == "container-removed"


def test_a_controller_killed_while_starting_many_bots_leaves_one_container_each(bare_fleet: Fleet) -> None:
    fleet = bare_fleet
    bots = [f"many-{number}" for number in range(8)]
    for bot in bots:
        fleet.create(bot)
    first = fleet.start_controller(wait=False)
    eventually(lambda: len(fleet.containers()), lambda count: count >= 2, what="the first containers")
    first.kill()
    fleet.start_controller()
    for bot in bots:
        fleet.wait_phase(bot, "pairing")
    assert fleet.containers() == sorted(fleet.name(bot) for bot in bots)
    assert all(fleet.status(bot)["restarts"] == 0 for bot in bots)


def test_a_standby_takes_over_when_the_leader_dies(bare_fleet: Fleet) -> None:
    fleet = bare_fleet
    leader = fleet.start_controller()
    fleet.online("standby", "491700000431")
    started = fleet.started_at("standby")
    fleet.start_controller()
    leader.kill()
    # Only the leader creates containers.
    fleet.create("standby-new")
    fleet.wait_phase("standby-new", "pairing")
    assert fleet.started_at("standby") == started
    assert fleet.containers() == [fleet.name("standby"), fleet.name("standby-new")]


def test_a_frozen_leader_is_replaced_and_changes_nothing_when_it_wakes_up(bare_fleet: Fleet) -> None:
    fleet = bare_fleet
    leader = fleet.start_controller()
    fleet.online("frozen", "491700000441")
    fleet.start_controller()
    leader.suspend()
    fleet.container("frozen").kill("KILL")
    fleet.wait_status("frozen", lambda status: status["restarts"] == 1 and status["phase"] == "online")
    fleet.create("frozen-new")
    fleet.wait_phase("frozen-new", "pairing")
    started = fleet.started_at("frozen")
    leader.resume()
    eventually(lambda: "stepping down" in leader.tail(200), what="the old leader to step down")
    eventually(lambda: "standing by" in leader.tail(200), what="it to become a standby")
    assert fleet.started_at("frozen") == started
    assert fleet.status("frozen")["restarts"] == 1
    assert fleet.containers() == [fleet.name("frozen"), fleet.name("frozen-new")]


def test_a_restart_of_the_api_does_not_affect_bots(bare_fleet: Fleet) -> None:
    fleet = bare_fleet
    fleet.start_controller()
    fleet.online("api-restart", "491700000451")
    started = fleet.started_at("api-restart")
    fleet.start_api()
    assert fleet.status("api-restart")["phase"] == "online"
    assert fleet.started_at("api-restart") == started
    assert fleet.phones.ask("491511110451", "491700000451", ".ping") == "pong"
