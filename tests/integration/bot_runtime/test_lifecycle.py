"""Start and shutdown: one owner per session, and a clean shutdown in every state."""

import signal
import time

import httpx
import pytest

from tests.integration.bot_runtime.harness import (
    EXIT_DEADLINE,
    QUICK,
    Network,
    RuntimeProcess,
    Start,
    eventually,
    new_phone,
)

NOBODY = "http://127.0.0.1:9"


def assert_ends_cleanly(bot: RuntimeProcess) -> None:
    assert bot.stop() == 0
    assert "exiting with code 0" in bot.log.read_text()


def test_a_bot_that_shows_a_qr_code_ends_in_time(start: Start, network: Network) -> None:
    bot = start()
    bot.qr()
    assert_ends_cleanly(bot)


def test_a_bot_that_is_online_ends_in_time_and_logs_it(start: Start, network: Network) -> None:
    bot, phone = start(), new_phone()
    bot.pair(network, phone)
    assert_ends_cleanly(bot)
    again = start()
    again.wait_for("online")
    updates = [event["data"] for event in again.events("connection-update")]
    assert {"connection": "close", "state": "closing"} in updates


def test_the_log_level_of_a_configuration_applies_at_once(start: Start) -> None:
    bot = start(HTTPS_PROXY=NOBODY)
    assert bot.client.put("/config", json={**QUICK, "logLevel": "debug"}).is_success
    eventually(bot.log.read_text, lambda text: "heartbeat: connection" in text)
    bot.discard()
    again = start(HTTPS_PROXY=NOBODY)
    eventually(again.log.read_text, lambda text: "heartbeat: connection" in text)


def test_a_bot_that_never_reached_whatsapp_ends_in_time(start: Start) -> None:
    bot = start(HTTPS_PROXY=NOBODY)
    eventually(bot.health, lambda health: health["connectionAttempts"] >= 1)
    assert_ends_cleanly(bot)


def test_a_bot_that_is_reconnecting_ends_in_time(start: Start, network: Network) -> None:
    bot, phone = start(config='{"reconnectBaseDelaySeconds": 0.1, "maxReconnectAttempts": 50}'), new_phone()
    bot.pair(network, phone)
    network.fail(phone, "refuse")
    eventually(bot.health, lambda health: health["connectionAttempts"] >= 2)
    assert_ends_cleanly(bot)


def test_a_bot_that_lost_its_connection_while_pairing_restarts_and_ends_in_time(start: Start, network: Network) -> None:
    bot = start()
    first = bot.qr()
    network.post("/failures", kind="drop")
    second = eventually(
        lambda: bot.client.get("/qr").json().get("code"), lambda code: code is not None and code != first
    )
    assert second
    assert_ends_cleanly(bot)


def test_a_signal_at_the_very_start_is_not_lost(start: Start) -> None:
    bot = start(HTTPS_PROXY=NOBODY)
    eventually(lambda: (bot.directory / "session.lock").exists(), bool)
    assert bot.stop() == 0


@pytest.mark.parametrize("milliseconds", [0, 5, 20, 60, 150])
def test_a_signal_during_a_restart_in_place_is_not_lost(start: Start, network: Network, milliseconds: int) -> None:
    bot = start()
    bot.qr()
    bot.client.post("/connection/reset")
    time.sleep(milliseconds / 1000)  # not a wait: each case hits another point in time of the restart
    assert bot.stop() == 0


def test_a_second_process_on_the_same_volume_is_refused(start: Start) -> None:
    first = start(HTTPS_PROXY=NOBODY)
    first.health()
    second = start(HTTPS_PROXY=NOBODY)
    assert second.process.wait(EXIT_DEADLINE) == 73
    assert first.health()["connection"] == "connecting"


def test_the_lock_is_held_during_a_restart_in_place(start: Start, network: Network) -> None:
    bot = start()
    first = bot.qr()
    bot.client.post("/connection/reset")
    eventually(lambda: bot.client.get("/qr").json().get("code"), lambda code: code is not None and code != first)
    assert start().process.wait(EXIT_DEADLINE) == 73


def test_a_damaged_session_is_reported(start: Start) -> None:
    bot = start(HTTPS_PROXY=NOBODY)
    bot.health()
    bot.kill()
    (bot.directory / "session.db").write_bytes(b"this is no database " * 1000)
    assert start(HTTPS_PROXY=NOBODY).process.wait(EXIT_DEADLINE) == 78


def test_a_hanging_event_loop_does_not_answer_and_still_ends_on_a_signal(start: Start) -> None:
    bot = start(HTTPS_PROXY=NOBODY)
    assert bot.client.get("/livez").status_code == 204
    bot.process.send_signal(signal.SIGSTOP)
    with pytest.raises(httpx.TimeoutException):
        bot.client.get("/livez", timeout=0.5)
    bot.process.send_signal(signal.SIGTERM)
    bot.process.send_signal(signal.SIGCONT)
    assert bot.process.wait(EXIT_DEADLINE) == 0


def test_only_the_liveness_probe_needs_no_token(start: Start) -> None:
    bot = start(HTTPS_PROXY=NOBODY)
    assert bot.client.get("/livez", headers={"Authorization": ""}).status_code == 204
    for header in ("", "Bearer", "Bearer wrong", "Basic t0ken", "Bearer t0ken2"):
        for path in ("/health", "/events", "/no-such-call"):
            answer = bot.client.get(path, headers={"Authorization": header})
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert bot.client.get("/no-such-call").json()["code"] == "not-found"
    assert bot.client.get("/events", params={"after": "x"}).json()["code"] == "malformed"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BOTDOCK_BOT_ID", "../other"),
        ("BOTDOCK_SERVER_NAME", ".."),
        ("BOTDOCK_TOKEN", ""),
        ("BOTDOCK_CONFIG", '{"generation": "s3cret"}'),
        ("BOTDOCK_PORT", "http"),
    ],
)
def test_an_invalid_environment_is_reported_in_one_line(start: Start, variable: str, value: str) -> None:
    bot = start(**{variable: value})
    assert bot.process.wait(EXIT_DEADLINE) == 64
    (line,) = bot.log.read_text().splitlines()
    assert variable in line


@pytest.mark.slow
def test_an_expired_qr_code_is_replaced_only_on_request_and_ends_in_time(start: Start, network: Network) -> None:
    bot, other = start(), start(volume="other")
    boot = bot.health()["bootId"]
    for either in (bot, other):
        either.wait_for("pairing-expired", seconds=200)
    assert_ends_cleanly(other)
    assert bot.client.get("/qr").status_code == 409
    codes = [event["data"]["qr"] for event in bot.events("qr")]
    assert len(set(codes)) == 6

    bot.client.post("/connection/reset")

    code = bot.qr()
    assert code not in codes
    assert bot.health()["bootId"] != boot
    network.scan(new_phone(), code)
    bot.wait_for("online")
