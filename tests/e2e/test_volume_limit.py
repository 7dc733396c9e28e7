"""How much a bot may store: the runtime keeps to it, and the controller does not rely on the runtime."""

import pytest

from tests.support.fleet import Fleet

pytestmark = [pytest.mark.docker, pytest.mark.slow]

LIMIT_MB = 64
WRITE = "open('/auth/{path}', 'wb').write(bytes({megabytes} << 20))"


def write(fleet: Fleet, bot: str, path: str, megabytes: int) -> None:
    """Write a file to the bot's volume, as a compromised runtime could."""
    command = ["/usr/bin/python3.13", "-c", WRITE.format(path=path, megabytes=megabytes)]
    assert fleet.container(bot).exec_run(command).exit_code == 0


def test_a_bot_disconnects_near_its_limit_and_is_stopped_beyond_it(bare_fleet: Fleet) -> None:
    fleet = bare_fleet
    fleet.start_controller(VOLUME_MAX_MB=str(LIMIT_MB))
    for bot in ("modest", "greedy"):
        fleet.create(bot)
    for bot in ("modest", "greedy"):
        fleet.wait_phase(bot, "pairing")
    started = fleet.started_at("modest")

    write(fleet, "greedy", f"{fleet.server}/bot_greedy/files/ballast", LIMIT_MB - 2)
    status = fleet.wait_status("greedy", lambda status: status["reason"] == "disk-full", what="to disconnect")
    assert status["phase"] == "degraded"
    assert "VOLUME_MAX_MB" in status["message"]

    # Where the runtime does not look.
    write(fleet, "greedy", "ballast", LIMIT_MB)
    status = fleet.wait_phase("greedy", "skipped")
    assert status["reason"] == "volume-limit"
    assert fleet.container("greedy").status == "exited"
    event = fleet.events("greedy", "volume-limit")[-1]
    assert event["data"]["bytes"] > event["data"]["maxBytes"] == LIMIT_MB << 20
    fleet.call("POST", "/api/bots/greedy/start")
    assert fleet.wait_phase("greedy", "skipped")["reason"] == "volume-limit"

    fleet.call("POST", "/api/bots/greedy/restart", {"fresh": True})
    fleet.wait_phase("greedy", "pairing")
    assert (fleet.status("modest")["phase"], fleet.started_at("modest")) == ("pairing", started)
