"""Each message is sent once, whenever the process dies, and the rate limit applies."""

import itertools
import json
import os
import random
import threading
from collections import Counter
from typing import Any

import httpx

from tests.integration.bot_runtime.harness import QUICK, Network, RuntimeProcess, Start, eventually, new_phone

ROUNDS = int(os.environ.get("BOTDOCK_TEST_KILLS", "5"))
UNLIMITED = json.dumps({**QUICK, "rateLimitMax": 10_000})


def send_in_background(bot: RuntimeProcess, client_id: str, contact: str, content: object) -> threading.Thread:
    """Request a message whose response will not arrive."""
    client = bot.client

    def send() -> None:
        try:
            bot.request(client_id, contact, content)
        except httpx.HTTPError:
            return

    assert client
    thread = threading.Thread(target=send)
    thread.start()
    return thread


def settled(bot: RuntimeProcess, client_id: str, contact: str, content: object) -> dict[str, Any]:
    """Repeat the request for a message until it succeeds; returns the result."""
    answer = eventually(
        lambda: bot.request(client_id, contact, content), lambda answer: answer.status_code == 200, seconds=60
    )
    result: dict[str, Any] = answer.json()
    return result


def test_after_a_kill_a_sent_message_is_found_and_not_sent_again(start: Start, network: Network, contact: str) -> None:
    bot, phone = start(), new_phone()
    bot.pair(network, phone)
    bot.send("warm-up", contact, "warm-up")
    network.fail(phone, "slow", delaySeconds=30)
    sending = send_in_background(bot, "a", contact, "hello")
    item = network.arrived(contact, 2)[1]
    bot.kill()
    sending.join()
    network.heal(phone)

    again = start()
    result = settled(again, "a", contact, "hello")
    assert (result["messageId"], result["unconfirmed"], result["repeated"]) == (item["id"], True, True)
    again.wait_for("online")
    again.send("last", contact, "last")
    assert [item["text"] for item in network.arrived(contact, 3)] == ["warm-up", "hello", "last"]


def test_after_a_kill_an_unsent_message_is_sent_on_the_next_request(
    start: Start, network: Network, contact: str
) -> None:
    bot, phone = start(), new_phone()
    bot.pair(network, phone)
    network.fail(phone, "slow", delaySeconds=30)
    sending = send_in_background(
        bot, "a", contact, "hello"
    )  # waits for the id of the contact, which is queried for the first time
    eventually(lambda: bot.get("/stats")["rateWindow"], bool)
    bot.kill()
    sending.join()
    network.heal(phone)

    again = start()
    again.wait_for("online")
    result = again.send("a", contact, "hello")
    assert (result["unconfirmed"], result["repeated"]) == (False, False)
    assert [item["id"] for item in network.arrived(contact)] == [result["messageId"]]


def test_a_reaction_in_flight_is_sent_again(start: Start, network: Network, contact: str) -> None:
    bot, phone = start(), new_phone()
    bot.pair(network, phone)
    first = bot.send("first", contact, "hello")["messageId"]
    reaction = {"type": "reaction", "messageId": first, "emoji": "👍", "sender": "me"}
    network.fail(phone, "slow", delaySeconds=30)
    sending = send_in_background(bot, "a", contact, reaction)
    network.arrived(contact, 2)
    bot.kill()
    sending.join()
    network.heal(phone)
    again = start()
    again.wait_for("online")
    assert again.send("a", contact, reaction)["repeated"] is False


def test_a_file_is_sent_once_even_if_the_process_dies(start: Start, network: Network, contact: str) -> None:
    bot, phone = start(), new_phone()
    bot.pair(network, phone)
    image = {"type": "image", "mimetype": "image/png"}
    bot.upload("a", b"picture")
    bot.send("warm-up", contact, "warm-up")
    network.fail(phone, "slow", delaySeconds=30)
    sending = send_in_background(bot, "a", contact, image)
    eventually(lambda: bot.get("/stats")["rateWindow"], lambda window: sum(window.values()) == 2)
    bot.kill()  # during the upload, which starts with a query that is not answered
    sending.join()
    network.heal(phone)
    again = start()
    again.wait_for("online")
    result = settled(again, "a", contact, image)
    (item,) = network.arrived(contact, 2)[1:]
    assert (item["id"], network.file(contact, item["id"])) == (result["messageId"], b"picture")


def test_kills_at_random_times_neither_lose_nor_duplicate_messages(
    start: Start, network: Network, contact: str
) -> None:
    moments, numbers = random.Random(5), itertools.count()
    bot, phone = start(config=UNLIMITED), new_phone()
    bot.pair(network, phone)
    results: dict[str, dict[str, Any]] = {}
    for _ in range(ROUNDS):
        batch = [f"message-{next(numbers)}" for _ in range(8)]
        network.fail(phone, "slow", delaySeconds=0.02)  # so that most of them wait for an answer when the process dies
        killer = threading.Timer(moments.uniform(0, 0.3), bot.process.kill)
        killer.start()
        for thread in [send_in_background(bot, text, contact, text) for text in batch]:
            thread.join()
        bot.process.wait(10)
        network.heal(phone)
        bot = start(config=UNLIMITED)
        bot.wait_for("online")
        results.update({text: settled(bot, text, contact, text) for text in batch})
    bot.send("last", contact, "last")
    items = eventually(lambda: network.items(contact), lambda items: items[-1]["text"] == "last")

    seen = Counter(item["text"] for item in items)
    ids = {item["text"]: item["id"] for item in items}
    assert max(seen.values()) == 1
    for text, result in results.items():
        # At most messages that were about to be sent are lost, and those are reported as unconfirmed.
        assert ids.get(text) == result["messageId"] or (result["unconfirmed"] and text not in ids)


def test_beyond_the_limit_the_error_states_when_to_retry_also_after_a_restart(
    start: Start, network: Network, contact: str
) -> None:
    config = json.dumps({**QUICK, "rateLimitMax": 2, "rateLimitWindowSeconds": 300})
    bot = start(config=config)
    bot.pair(network, new_phone())
    bot.send("a", contact, "one")
    bot.send("b", f"+{contact[:2]} {contact[2:]}", "two")
    bot.kill()

    again = start(config=config)
    again.wait_for("online")
    limited = again.request("c", contact, "three")
    error = limited.json()
    assert (limited.status_code, error["code"]) == (429, "rate-limited")
    assert 200_000 < error["retryAfterMs"] <= 300_000
    assert int(limited.headers["retry-after"]) == -(-error["retryAfterMs"] // 1000)
    assert again.send("a", contact, "one")["repeated"] is True
    assert again.get("/stats")["rateWindow"] == {f"{contact}@s.whatsapp.net": 2}

    hidden = network.post("/contacts", phone=contact)["lid"]
    assert again.request("e", hidden, "three").json()["code"] == "rate-limited", "the same person by another id"

    other = new_phone()
    network.post("/contacts", phone=other)
    again.send("d", other, "hello")
    again.client.put("/config", json={"generation": 1, "rateLimitMax": 3, "rateLimitWindowSeconds": 300})
    again.send("c", contact, "three")
    assert [item["text"] for item in network.arrived(contact, 3)] == ["one", "two", "three"]


def test_a_message_to_a_number_without_whatsapp_does_not_count_for_the_rate_limit(
    start: Start, network: Network
) -> None:
    bot = start()
    bot.pair(network, new_phone())
    answer = bot.request("a", "491999999999", "hello")
    assert (answer.status_code, answer.json()["code"]) == (502, "send-failed")
    assert bot.get("/stats")["rateWindow"] == {}


def test_answers_to_commands_are_not_limited(start: Start, network: Network, contact: str) -> None:
    bot, phone = start(config=json.dumps({**QUICK, "rateLimitMax": 1})), new_phone()
    bot.pair(network, phone)
    bot.send("a", contact, "one")
    for count in range(3):
        network.write(contact, phone, ".ping")
        network.arrived(contact, count + 2)
    assert [item["text"] for item in network.items(contact)] == ["one", "pong", "pong", "pong"]
