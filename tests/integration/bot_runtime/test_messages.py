"""Messages in both directions, each exactly once."""

from tests.integration.bot_runtime.harness import Network, RuntimeProcess, Start, eventually, new_phone


def online(start: Start, network: Network) -> tuple[RuntimeProcess, str, str]:
    bot, phone, contact = start(), new_phone(), new_phone()
    bot.pair(network, phone)
    network.post("/contacts", phone=contact, name="Ada")
    return bot, phone, contact


def test_a_ping_is_answered_and_recorded(start: Start, network: Network) -> None:
    bot, phone, contact = online(start, network)

    network.write(contact, phone, ".ping")

    assert network.inbox(contact, wait=20) == ["pong"]
    event = bot.wait_for_event("message-upsert")["data"]
    assert event["type"] == "notify"
    message = event["messages"][0]
    assert set(message) == {
        "id", "chat", "sender", "senderNumber", "fromMe", "isGroup", "kind", "text", "timestamp", "pushName",
    }  # fmt: skip
    assert (message["text"], message["senderNumber"], message["pushName"]) == (".ping", contact, "Ada")
    assert (message["fromMe"], message["isGroup"]) == (False, False)
    assert bot.get("/stats")["messagesReceived"] == 1


def test_a_message_without_a_command_is_recorded_and_not_answered(start: Start, network: Network) -> None:
    bot, phone, contact = online(start, network)
    network.write(contact, phone, "ping")
    bot.wait_for_event("message-upsert")
    network.write(contact, phone, ".ping")
    assert network.inbox(contact, wait=20) == ["pong"]


def test_the_prefix_can_be_changed_while_the_bot_runs(start: Start, network: Network) -> None:
    bot, phone, contact = online(start, network)
    answer = bot.client.put("/config", json={"generation": 1, "prefix": "!"})
    assert answer.status_code == 200, answer.text
    network.write(contact, phone, "!ping")
    assert network.inbox(contact, wait=20) == ["pong"]


def test_a_text_reaches_its_recipient_by_number_and_by_chat_id(start: Start, network: Network) -> None:
    bot, _, contact = online(start, network)
    bot.send("by-number", f"+{contact[:2]} {contact[2:]}", "one")
    bot.send("by-id", f"{contact}@s.whatsapp.net", "two")
    assert eventually(lambda: network.inbox(contact), lambda texts: len(texts) == 2) == ["one", "two"]
    assert bot.get("/stats")["messagesSent"] == 2


def test_a_message_requested_twice_is_sent_once_even_after_a_crash(start: Start, network: Network) -> None:
    bot, _, contact = online(start, network)
    first = bot.send("order-1", contact, "hello")
    second = bot.send("order-1", contact, "hello")
    bot.kill()
    again = start()
    again.wait_for("online")
    third = again.send("order-1", contact, "hello")
    again.send("order-2", contact, "last")

    assert [first["repeated"], second["repeated"], third["repeated"]] == [False, True, True]
    assert first["messageId"] == second["messageId"] == third["messageId"]
    assert eventually(lambda: network.inbox(contact), lambda texts: "last" in texts) == ["hello", "last"]


def test_an_invalid_recipient_and_an_invalid_body_are_refused(start: Start, network: Network) -> None:
    bot, _, _ = online(start, network)
    text = {"type": "text", "text": "x"}
    for body, code in (
        ({"clientId": "a", "to": "not a number", "content": text}, "bad-recipient"),
        ({"clientId": "a b", "to": "491700000000", "content": text}, "malformed"),
        ({"clientId": "a", "to": "491700000000", "content": {"type": "text", "text": ""}}, "malformed"),
        ({"clientId": "a", "to": "491700000000", "content": {"type": "telegram", "text": "x"}}, "malformed"),
        ({"to": "491700000000", "content": text}, "malformed"),
    ):
        answer = bot.client.post("/messages", json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_messages_sent_while_the_bot_was_offline_are_received_later(start: Start, network: Network) -> None:
    bot, phone, contact = online(start, network)
    bot.stop()
    network.write(contact, phone, "are you there?")
    again = start()
    message = again.wait_for_event("message-upsert")["data"]["messages"][0]
    assert message["text"] == "are you there?"


def test_events_survive_a_crash_until_they_are_acknowledged(start: Start, network: Network) -> None:
    bot, phone, contact = online(start, network)
    network.write(contact, phone, "one")
    bot.wait_for_event("message-upsert")
    page = bot.get("/events")
    seen = [event["seq"] for event in page["items"]]
    bot.kill()

    again = start()
    again.wait_for("online")
    kept = again.get("/events", spool=page["spoolId"], after=0)["items"]
    assert [event["seq"] for event in kept][: len(seen)] == seen

    again.get("/events", spool=page["spoolId"], after=page["next"])
    again.kill()
    third = start()
    third.wait_for("online")
    rest = third.get("/events")["items"]
    assert rest[0]["seq"] == page["next"] + 1
    assert third.health()["events"]["ackedSeq"] == page["next"]


def test_a_waiting_request_receives_an_event_at_once(start: Start, network: Network) -> None:
    bot, phone, contact = online(start, network)
    page = bot.get("/events")
    network.write(contact, phone, "hello")
    answer = bot.get("/events", spool=page["spoolId"], after=page["next"], wait=30)
    assert answer["items"][0]["data"]["messages"][0]["text"] == "hello"
