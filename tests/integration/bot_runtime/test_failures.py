"""Faults between the bot and WhatsApp, and how the bot handles them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.integration.bot_runtime.harness import Network, RuntimeProcess, Start, eventually, new_phone


def online(start: Start, network: Network, **options: str) -> tuple[RuntimeProcess, str]:
    bot, phone = start(**options), new_phone()
    bot.pair(network, phone)
    return bot, phone


def states(bot: RuntimeProcess) -> list[str]:
    return [event["data"]["state"] for event in bot.events("connection-update")]


def test_a_dropped_connection_is_reestablished(start: Start, network: Network) -> None:
    bot, phone = online(start, network)
    network.fail(phone, "drop")
    eventually(lambda: states(bot)[-2:], lambda last: last == ["reconnecting", "online"])
    health = bot.health()
    assert health["connectionAttempts"] == 0
    assert health["lastError"] is None
    assert bot.get("/stats")["reconnects"] == 1


def test_an_event_that_neonize_cannot_deliver_only_costs_a_reconnect(start: Start, network: Network) -> None:
    bot, phone = online(start, network)
    contact = new_phone()
    network.post("/contacts", phone=contact)
    sent = bot.send("a", contact, "hello")["messageId"]
    network.arrived(contact)
    boot, pid = bot.health()["bootId"], bot.process.pid
    network.receipt(contact, sent, "server-error")
    eventually(lambda: states(bot)[-2:], lambda last: last == ["reconnecting", "online"])
    # More than one when the connection ends before whatsmeow has confirmed the event: WhatsApp then sends it again.
    assert {event["data"]["code"] for event in bot.events("error")} == {"event-unreadable"}

    network.write(contact, phone, ".ping")
    assert eventually(lambda: network.inbox(contact), lambda texts: len(texts) > 1) == ["hello", "pong"]
    network.receipt(contact, sent, "read")
    eventually(lambda: bot.events("message-ack"), lambda acks: any(ack["data"]["state"] == "read" for ack in acks))
    assert (bot.health()["bootId"], bot.process.pid) == (boot, pid)


@pytest.mark.parametrize(
    ("failure", "state"),
    [("replaced", "conflict"), ("logged-out", "logged-out"), ("banned", "banned"), ("outdated", "outdated")],
)
def test_terminal_states_are_not_retried(start: Start, network: Network, failure: str, state: str) -> None:
    bot, phone = online(start, network)
    network.fail(phone, failure)
    health = bot.wait_for(state)
    assert health["lastError"]["message"]
    settled = states(bot)
    eventually(bot.health, lambda later: later["lastHeartbeat"] > health["lastHeartbeat"])
    assert bot.health()["connection"] == state
    assert states(bot) == settled
    assert bot.stop() == 0


def test_a_logout_is_an_event_and_a_reset_shows_a_new_qr_code(start: Start, network: Network) -> None:
    bot, phone = online(start, network)
    boot = bot.health()["bootId"]
    network.fail(phone, "logged-out")
    bot.wait_for("logged-out")
    bot.wait_for_event("logout")

    assert bot.client.post("/connection/reset").status_code == 200

    network.scan(phone, bot.qr())
    health = bot.wait_for("online")
    assert health["bootId"] != boot
    seqs = [event["seq"] for event in bot.events()]
    assert seqs == list(range(1, len(seqs) + 1))


@contextmanager
def logged_out_with_a_locked_session(bot: RuntimeProcess, phone: str, network: Network) -> Iterator[None]:
    """The bot has been logged out, and the library cannot delete its session during the block."""
    with closing(sqlite3.connect(bot.directory / "session.db", isolation_level=None)) as reader:
        reader.execute("BEGIN IMMEDIATE")
        network.fail(phone, "logged-out")
        bot.wait_for("logged-out")
        yield


def test_a_session_that_could_not_be_deleted_at_the_logout_is_not_used_after_a_reset(
    start: Start, network: Network
) -> None:
    bot, phone = online(start, network)
    with logged_out_with_a_locked_session(bot, phone, network):
        assert bot.client.post("/connection/reset").status_code == 200
        network.scan(phone, bot.qr())
        bot.wait_for("online")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_session_that_could_not_be_deleted_at_the_logout_is_not_used_by_the_next_start(
    start: Start, network: Network, end: str
) -> None:
    bot, phone = online(start, network)
    with logged_out_with_a_locked_session(bot, phone, network):
        getattr(bot, end)()
        again = start()
        network.scan(phone, again.qr())
        again.wait_for("online")
    again.kill()
    start().wait_for("online")


def test_a_session_in_conflict_can_be_reclaimed(start: Start, network: Network) -> None:
    bot, phone = online(start, network)
    before = bot.health()
    network.fail(phone, "replaced")
    bot.wait_for("conflict")
    bot.client.post("/connection/reset")
    after = bot.wait_for("online")
    assert after["bootId"] != before["bootId"], "the new process needs its secrets"
    assert after["startedAt"] == before["startedAt"], "the bot was not started again"
    assert "closing" not in states(bot)


def test_an_unreachable_whatsapp_ends_the_process_after_the_maximum_of_attempts(start: Start, network: Network) -> None:
    config = '{"reconnectBaseDelaySeconds": 0.05, "maxReconnectAttempts": 3}'
    bot, phone = online(start, network, config=config)
    network.fail(phone, "refuse")
    assert bot.process.wait(30) == 75
    network.heal(phone)
    again = start()
    again.wait_for("online")
    events = again.events()
    assert next(event for event in events if event["type"] == "reconnect-failed")["data"] == {"attempts": 3}


def test_a_bot_reconnects_when_whatsapp_is_available_again(start: Start, network: Network) -> None:
    bot, phone = online(start, network, config='{"reconnectBaseDelaySeconds": 0.1, "maxReconnectAttempts": 50}')
    network.fail(phone, "unavailable")
    eventually(bot.health, lambda health: health["connectionAttempts"] >= 2)
    assert bot.health()["connection"] == "reconnecting"
    network.heal(phone)
    assert bot.wait_for("online")["connectionAttempts"] == 0


def test_a_reset_renews_an_open_connection_without_a_restart(start: Start, network: Network) -> None:
    bot, _ = online(start, network)
    boot, pid = bot.health()["bootId"], bot.process.pid
    assert bot.client.post("/connection/reset").status_code == 200
    eventually(lambda: states(bot)[-2:], lambda last: last == ["reconnecting", "online"])
    assert bot.health()["bootId"] == boot
    assert bot.process.pid == pid


def test_the_connection_is_renewed_as_often_as_configured(start: Start, network: Network) -> None:
    bot, _ = online(start, network, config='{"connectionResetIntervalSeconds": 1, "heartbeatIntervalSeconds": 0.2}')
    eventually(lambda: states(bot).count("online"), lambda times: times >= 2)


def test_logging_out_removes_the_session(start: Start, network: Network) -> None:
    bot, phone = online(start, network)
    assert bot.client.post("/logout").status_code == 200
    health = bot.wait_for("logged-out")
    assert health["phoneNumber"] is None
    assert health["credsUpdatedAt"] is None
    assert bot.client.post("/logout").status_code == 409
    bot.client.post("/connection/reset")
    network.scan(phone, bot.qr())
    bot.wait_for("online")


@pytest.mark.slow
def test_a_deaf_connection_is_detected_and_renewed(start: Start, network: Network) -> None:
    bot, phone = online(start, network)
    network.fail(phone, "deaf")
    bot.wait_for("deaf", seconds=60)
    network.heal(phone)
    bot.wait_for("online", seconds=60)
