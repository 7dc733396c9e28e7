"""Pairing a new bot, and reconnecting after a crash."""

import stat

from tests.integration.bot_runtime.harness import Network, Start, eventually, new_phone


def test_a_new_bot_shows_a_qr_code_and_is_online_once_it_is_scanned(start: Start, network: Network) -> None:
    bot, phone = start(), new_phone()
    code = bot.qr()
    assert bot.health()["connection"] == "pairing"
    assert bot.health()["phoneNumber"] is None

    network.scan(phone, code)

    health = bot.wait_for("online")
    assert health["phoneNumber"] == phone
    assert health["connectionAttempts"] == 0
    assert health["credsUpdatedAt"] is not None
    assert bot.client.get("/qr").status_code == 409
    updates = [event["data"] for event in bot.events("connection-update")]
    assert updates[0] == {"connection": "connecting", "state": "connecting"}
    assert updates[1] == {"connection": "connecting", "state": "pairing", "qr": code}
    assert updates[-1] == {"connection": "open", "state": "online"}
    assert bot.events("connected")[0]["data"] == {"phoneNumber": phone}
    assert bot.events("creds-update")


def test_a_bot_can_be_paired_by_code(start: Start, network: Network) -> None:
    bot, phone = start(), new_phone()
    network.post("/accounts", phone=phone)
    bot.qr()

    answer = bot.client.post("/pair-code", json={"phoneNumber": f"+{phone}"})

    assert answer.status_code == 200, answer.text
    network.post(f"/accounts/{phone}/enter-code", code=answer.json()["code"])
    assert bot.wait_for("online")["phoneNumber"] == phone


def test_a_killed_bot_is_online_again_without_a_qr_code(start: Start, network: Network) -> None:
    bot, phone = start(), new_phone()
    bot.pair(network, phone)
    bot.kill()

    again = start()

    assert again.wait_for("online")["phoneNumber"] == phone
    events = again.events()
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert sum(event["type"] == "connected" for event in events) == 2


def test_the_log_shows_the_qr_code_and_no_secret(start: Start, network: Network) -> None:
    bot = start()
    code = bot.qr()
    log = eventually(bot.log.read_text, lambda text: "scan before" in text)
    assert "█▀▀" in log or "█ ▄" in log
    assert code not in log
    assert "t0ken" not in log


def test_the_session_is_readable_by_its_owner_only(start: Start, network: Network) -> None:
    bot = start()
    bot.qr()
    for directory in (bot.directory, bot.directory.parent):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for file in bot.directory.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
