"""A problem that Botdock cannot fix is reported as the bot's reason, and other bots are not affected."""

import docker
import pytest

from tests.support.eventually import eventually
from tests.support.fleet import BOT_IMAGE, Fleet

pytestmark = pytest.mark.docker


def test_a_foreign_container_with_a_bots_name_is_reported_and_not_touched(fleet: Fleet) -> None:
    foreign = fleet.docker.containers.run(
        BOT_IMAGE,
        name=fleet.name("rp-taken"),
        entrypoint=["/usr/bin/python3.13", "-c", "import signal; signal.pause()"],
        detach=True,
    )
    try:
        fleet.create("rp-taken")
        fleet.create("rp-other")
        status = fleet.wait_status("rp-taken", lambda status: status["reason"] == "name-taken")
        assert fleet.name("rp-taken") in status["message"]
        fleet.wait_phase("rp-other", "pairing")
        foreign.reload()
        assert foreign.status == "running"
    finally:
        foreign.remove(force=True)
    fleet.wait_phase("rp-taken", "pairing")
    fleet.delete("rp-taken")
    fleet.delete("rp-other")


def test_a_container_of_another_owner_is_not_touched(fleet: Fleet) -> None:
    other = fleet.docker.containers.run(
        BOT_IMAGE,
        labels={"botdock.owner": "somebody-else", "botdock.server": fleet.server, "botdock.bot-id": "rp-ghost"},
        entrypoint=["/usr/bin/python3.13", "-c", "import signal; signal.pause()"],
        detach=True,
    )
    try:
        # An orphan of ours is removed by the second sweep: its removal shows that two sweeps have run.
        orphan = _orphan(fleet)
        eventually(lambda: _gone(fleet, orphan), what="the orphan's removal")
        other.reload()
        assert other.status == "running"
    finally:
        other.remove(force=True)


def test_a_missing_image_is_reported_and_the_bot_recovers_by_itself(bare_fleet: Fleet) -> None:
    fleet = bare_fleet
    wrong = fleet.start_controller(BOT_IMAGE="botdock/no-such-image:dev")
    fleet.create("rp-image")
    status = fleet.wait_phase("rp-image", "skipped")
    assert status["reason"] == "image-missing"
    assert "botdock/no-such-image:dev" in status["message"]
    wrong.stop()
    fleet.start_controller()
    fleet.wait_phase("rp-image", "pairing")


def _orphan(fleet: Fleet) -> str:
    labels = fleet.docker.api.networks(names=[f"botdock-{fleet.server}"])[0]["Labels"]
    container = fleet.docker.containers.run(
        BOT_IMAGE,
        labels={
            "botdock.owner": labels["botdock.owner"],
            "botdock.server": fleet.server,
            "botdock.bot-id": "rp-orphan",
        },
        entrypoint=["/usr/bin/python3.13", "-c", "import signal; signal.pause()"],
        detach=True,
    )
    return str(container.id)


def _gone(fleet: Fleet, container: str) -> bool:
    try:
        fleet.docker.containers.get(container)
    except docker.errors.NotFound:
        return True
    return False
