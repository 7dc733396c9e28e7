"""Failures caused by WhatsApp are distinguished, and none causes a restart loop or the needless loss of a session."""

import re
from collections.abc import Iterator

import psycopg
import pytest

from bot_runtime.whatsapp.connection import LOGIN_SECONDS
from tests.support.eventually import DEADLINE_SECONDS, eventually
from tests.support.fleet import Fleet
from tests.support.live_bot import LiveBot

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.fixture(scope="module", autouse=True)
def deaf(fleet: Fleet) -> Iterator[LiveBot]:
    """A bot that no longer gets answers from WhatsApp: detection takes half a minute, while the other tests run."""
    bot = LiveBot(fleet, "wa-deaf", "491700000307")
    fleet.phones.fail(bot.phone, "deaf")
    yield bot
    bot.delete()


def test_a_dropped_connection_recovers_without_a_restart(fleet: Fleet) -> None:
    fleet.online("wa-drop", "491700000301")
    started = fleet.started_at("wa-drop")
    fleet.phones.fail("491700000301", "drop")
    fleet.wait_status("wa-drop", lambda _: len(fleet.events("wa-drop", "connected")) >= 2, what="a second connection")
    fleet.wait_phase("wa-drop", "online")
    assert fleet.started_at("wa-drop") == started
    fleet.delete("wa-drop")


def test_an_unlinked_bot_is_logged_out_and_pairs_again_after_a_restart(fleet: Fleet) -> None:
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
def test_each_refusal_has_its_own_phase_and_causes_no_restart_loop(
    fleet: Fleet, kind: str, phase: str, reason: str, phone: str
) -> None:
    bot = f"wa-{kind}"
    fleet.online(bot, phone)
    fleet.phones.fail(phone, kind)
    if kind != "replaced":
        # The refusal takes effect on the next connection.
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
    bot = fleet.call("GET", "/api/bots/wa-code")
    assert (bot["status"]["phase"], bot["phoneNumber"]) == ("online", "491700000306")
    fleet.delete("wa-code")


def test_a_bot_that_cannot_reach_whatsapp_says_why_and_when_it_tries_again(bare_fleet: Fleet) -> None:
    bare_fleet.start_controller(BOT_HTTPS_PROXY="http://no-such-proxy.invalid:3128")
    bare_fleet.create("wa-away")
    status = bare_fleet.wait_status("wa-away", lambda status: "next attempt" in status["message"], what="the error")
    assert (status["phase"], status["reason"]) == ("starting", "connecting")
    assert re.search(
        r"^cannot connect to WhatsApp: .*no-such-proxy\.invalid.*; next attempt at \d\d:\d\d:\d\d UTC; "
        r"check DNS, proxy and firewall of the bots' network$",
        status["message"],
    ), status["message"]
    for method, path, body in (("GET", "qr", None), ("POST", "pair-code?wait=0", {"phoneNumber": "+49 170 0000310"})):
        refused = bare_fleet.request(method, f"/api/bots/wa-away/{path}", json=body)
        assert refused.status_code == 409
        for words in ("no-such-proxy.invalid", "next attempt at", "check DNS, proxy and firewall"):
            assert words in refused.json()["detail"]


def test_a_bot_that_cannot_connect_exits_and_is_restarted_until_it_can(fleet: Fleet) -> None:
    bot = LiveBot(fleet, "wa-refused", "491700000308")
    bot.configure(reconnectBaseDelaySeconds=0.1, maxReconnectAttempts=3)
    fleet.phones.fail(bot.phone, "refuse")
    status = fleet.wait_status(bot.id, lambda status: status["restarts"] >= 1, what="a restart")
    assert (status["lastExit"]["reason"], status["lastExit"]["exitCode"]) == ("reconnect-failed", 75)
    failed = eventually(lambda: fleet.events(bot.id, "reconnect-failed"), what="the event")
    assert failed[0]["data"] == {"attempts": 3}

    fleet.phones.heal(bot.phone)
    fleet.call("POST", f"{bot.path}/start")
    fleet.wait_phase(bot.id, "online")
    assert len(fleet.events(bot.id, "qr")) == 1, "with its session, without another QR code"
    bot.delete()


def test_the_connection_is_renewed_at_each_interval_by_the_same_process(fleet: Fleet) -> None:
    bot, ada = LiveBot(fleet, "wa-renewed", "491700000309"), "491511110309"
    fleet.phones.post("/contacts", {"phone": ada})
    boot = bot.runtime("/health")["bootId"]
    with psycopg.connect(fleet.database_url, autocommit=True) as connection:
        # More often than the api allows: its minimum is a minute.
        often = """{"connectionResetIntervalSeconds": 1, "heartbeatIntervalSeconds": 1}"""
        connection.execute("UPDATE bots SET settings = settings || %s::jsonb WHERE id = %s", [often, bot.id])

    def renewals() -> int:
        states = [event["data"]["state"] for event in fleet.events(bot.id, "connection-update")]
        return states.count("online") - 1

    for number in range(3):
        eventually(renewals, lambda seen, number=number: seen > number, what="a renewal")  # type: ignore[misc]
        sent = bot.send(ada, message=f"number {number}")
        assert sent["state"] in {"sent", "delivered"}
    bot.configure(connectionResetIntervalSeconds=0)
    assert bot.runtime("/health")["bootId"] == boot
    assert not bot.restarted
    log = fleet.container(bot.id).logs().decode()
    assert log.count("serves on port") == 1, "the process has not been re-executed either"
    assert "renewing the connection (every 1 s)" in log
    assert [item["text"] for item in fleet.phones.inbox(ada)] == ["number 0", "number 1", "number 2"]
    bot.delete()


def test_a_deaf_connection_is_detected_and_renewed(fleet: Fleet, deaf: LiveBot) -> None:
    def heard_nothing() -> list[str]:
        return [event["data"]["code"] for event in fleet.events(deaf.id, "health-check-failed")]

    assert eventually(heard_nothing, what="the failed check")
    assert "deaf" in [event["data"]["state"] for event in fleet.events(deaf.id, "connection-update")]
    fleet.phones.heal(deaf.phone)
    # It may have connected again before, and now waits for the answer to a login that WhatsApp never read.
    fleet.wait_phase(deaf.id, "online", deadline=LOGIN_SECONDS + DEADLINE_SECONDS)
    assert deaf.ask("491511110307", ".ping") == "pong"
    assert not deaf.restarted
    assert fleet.status(deaf.id)["restarts"] == 0
