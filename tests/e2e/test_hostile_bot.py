"""A compromised bot in a real container harms only itself. Its answers vary in `tests/integration/hostile`."""

import pytest

from tests.support.eventually import eventually
from tests.support.fleet import Fleet
from tests.support.hostile.container import compromise
from tests.support.hostile.scripts import broken, largest

pytestmark = [pytest.mark.docker, pytest.mark.slow]

LISTS = ("/api/bots", "/api/bots/containers/health", "/api/whatsapp/sessions", "/api/servers", "/health", "/metrics")
KINDS = {"large": largest, "broken": broken}


def test_compromised_bots_harm_only_themselves_and_can_be_deleted(bare_fleet: Fleet) -> None:
    fleet = bare_fleet
    controller = fleet.start_controller()
    bots = ("victim", *KINDS)
    for bot in bots:
        fleet.create(bot)
    for bot in bots:
        fleet.wait_phase(bot, "pairing")
    started = fleet.started_at("victim")
    for bot, script in KINDS.items():

        def stop(bot: str = bot) -> None:
            fleet.call("POST", f"/api/bots/{bot}/stop")
            fleet.wait_phase(bot, "stopped")
            controller.suspend()

        def start(bot: str = bot) -> None:
            fleet.call("POST", f"/api/bots/{bot}/start")
            controller.resume()

        compromise(fleet.docker.api, fleet.name(bot), script(bot), stop=stop, start=start)
    for bot in KINDS:
        fleet.wait_status(bot, lambda status: status["reason"] == "protocol-violation", what="to be found out")

    for path in LISTS:
        answer = fleet.request("GET", path)
        assert answer.status_code == 200, path
        assert len(answer.content) < 100_000, path
    for bot in KINDS:
        for path in ("qr", "groups/1@g.us", "media/M", "events?limit=200", "messages"):
            assert fleet.request("GET", f"/api/bots/{bot}/{path}").status_code != 500, path
    heartbeat = fleet.status("victim")["lastHeartbeat"]
    fleet.wait_status("victim", lambda status: status["lastHeartbeat"] > heartbeat, what="probes of the victim")
    fleet.phones.scan("491700000613", fleet.call("GET", "/api/bots/victim/qr?format=json&wait=30")["code"])
    fleet.wait_phase("victim", "online")
    assert eventually(lambda: fleet.phones.ask("491511110613", "491700000613", ".ping")) == "pong"
    assert fleet.started_at("victim") == started
    for bot in KINDS:
        fleet.delete(bot)
    assert fleet.containers() == [fleet.name("victim")]
