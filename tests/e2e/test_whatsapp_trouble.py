"""What WhatsApp does to a bot is told apart, and none of it makes a bot loop or lose its session needlessly."""

import pytest

from tests.support.fleet import Fleet

pytestmark = pytest.mark.docker


def test_a_dropped_connection_heals_without_a_restart(fleet: Fleet) -> None:
    fleet.online("wa-drop", "491700000301")
    started = fleet.started_at("wa-drop")
    fleet.phones.fail("491700000301", "drop")
    fleet.wait_status("wa-drop", lambda _: len(fleet.events("wa-drop", "connected")) >= 2, what="a second connection")
    fleet.wait_phase("wa-drop", "online")
    assert fleet.started_at("wa-drop") == started
    fleet.delete("wa-drop")


def test_a_bot_unlinked_from_the_phone_says_so_and_pairs_again_after_a_restart(fleet: Fleet) -> None:
    fleet.online("wa-out", "491700000302")
    fleet.phones.fail("491700000302", "logged-out")
    status = fleet.wait_phase("wa-out", "logged-out")
    assert status["restarts"] == 0
    fleet.phones.heal("491700000302")
    fleet.call("POST", "/api/bots/wa-out/restart")
    fleet.wait_phase("wa-out", "pairing")
    fleet.pair("wa-out", "491700000302")
    fleet.delete("wa-out")


@pytest.mark.parametrize(
    ("kind", "phase", "reason", "phone"),
    [
        ("replaced", "degraded", "conflict", "491700000303"),
        ("banned", "banned", "banned", "491700000304"),
        ("outdated", "outdated", "outdated", "491700000305"),
    ],
)
def test_a_refusal_is_told_apart_and_does_not_loop(
    fleet: Fleet, kind: str, phase: str, reason: str, phone: str
) -> None:
    bot = f"wa-{kind}"
    fleet.online(bot, phone)
    fleet.phones.fail(phone, kind)
    if kind != "replaced":
        # A refusal is met on the next connection.
        fleet.phones.fail(phone, kind)
        fleet.call("POST", f"/api/bots/{bot}/restart")
    status = fleet.wait_phase(bot, phase)
    assert status["reason"] == reason
    assert status["restarts"] == 0, "the container is not restarted for it"
    fleet.delete(bot)


def test_pairing_by_code_needs_no_qr(fleet: Fleet) -> None:
    fleet.create("wa-code")
    fleet.wait_phase("wa-code", "pairing")
    code = fleet.call("POST", "/api/bots/wa-code/pair-code", {"phoneNumber": "+49 170 0000306"})["code"]
    fleet.phones.enter_code("491700000306", code)
    fleet.wait_phase("wa-code", "online")
    assert fleet.status("wa-code")["phase"] == "online"
    fleet.delete("wa-code")
