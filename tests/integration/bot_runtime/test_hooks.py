"""Hooks: viewing statuses, reacting to posts, forwarding deleted messages, answers by a language model."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from tests.integration.bot_runtime.harness import Network, Start, eventually, new_phone
from tests.integration.bot_runtime.test_commands import Chat

SECRET = "sk-very-secret"


@pytest.fixture
def chat(start: Start, network: Network) -> Chat:
    return Chat(start(), network)


def owner_of(chat: Chat, **settings: object) -> str:
    """The owner of the bot, who receives forwarded messages."""
    owner = new_phone()
    chat.network.post("/contacts", phone=owner, name="Boss")
    chat.configure(owners=[owner], **settings)
    return owner


def test_statuses_are_viewed_once_also_after_a_restart(chat: Chat, start: Start) -> None:
    chat.configure(autoView=True)
    status = chat.network.post(f"/contacts/{chat.contact}/statuses", to=[chat.phone], text="on holiday")["id"]
    eventually(lambda: chat.network.receipts(chat.contact), lambda receipts: (status, "read") in receipts)
    assert chat.bot.get("/stats")["statusesViewed"] == 1

    chat.bot.kill()
    again = start()
    again.wait_for("online")
    later = chat.network.post(f"/contacts/{chat.contact}/statuses", to=[chat.phone], text="back again")["id"]
    eventually(lambda: chat.network.receipts(chat.contact), lambda receipts: (later, "read") in receipts)
    assert chat.network.receipts(chat.contact).count((status, "read")) == 1


def test_statuses_are_not_viewed_while_the_setting_is_off(chat: Chat) -> None:
    status = chat.network.post(f"/contacts/{chat.contact}/statuses", to=[chat.phone], text="on holiday")["id"]
    assert chat.ask(".ping") == "pong"
    assert (status, "read") not in chat.network.receipts(chat.contact)


def test_a_deleted_message_is_forwarded_to_the_owner_and_recorded(chat: Chat) -> None:
    owner = owner_of(chat, antiDelete=True)
    written = chat.network.post(f"/contacts/{chat.contact}/messages", to=chat.phone, text="I owe you 10")["id"]
    chat.network.post(f"/contacts/{chat.contact}/revocations", message=written)

    shown = eventually(lambda: chat.network.inbox(owner), bool)[0]
    assert shown.startswith(f"Ada (+{chat.contact}) deleted a message (text, ")
    assert shown.endswith("I owe you 10")
    records = [event["data"]["messages"][0] for event in chat.bot.events("message-upsert")]
    assert records[-1]["original"]["text"] == "I owe you 10"


def test_a_deleted_photo_is_forwarded_with_its_file(chat: Chat) -> None:
    owner = owner_of(chat, antiDelete=True)
    photo = chat.network.attach(chat.contact, chat.phone, "image", b"jpeg", caption="proof")
    chat.network.post(f"/contacts/{chat.contact}/revocations", message=photo)
    shown = chat.network.arrived(owner, 2)
    assert chat.network.file(owner, shown[1]["id"]) == b"jpeg"


def test_a_view_once_photo_is_forwarded_to_the_owner(chat: Chat) -> None:
    owner = owner_of(chat, antiViewOnce=True)
    chat.network.attach(chat.contact, chat.phone, "image", b"jpeg", viewOnce=True)
    heading, photo = chat.network.arrived(owner, 2)
    assert heading["text"] == f"Ada (+{chat.contact}) sent a view-once image"
    assert chat.network.file(owner, photo["id"]) == b"jpeg"
    assert not photo.get("viewOnce")


def test_channel_posts_get_their_reaction(chat: Chat) -> None:
    ours = chat.network.post("/channels", name="News", followers=[chat.phone])["id"]
    other = chat.network.post("/channels", name="Sports", followers=[chat.phone])["id"]
    rules = [{"channel": "*", "emoji": "👀"}, {"channel": ours, "emoji": "🔥"}]
    chat.configure(channelReactions=rules)
    for channel, emoji in ((ours, "🔥"), (other, "👀")):
        chat.network.post(f"/channels/{channel}/posts", text="something happened")
        reactions = eventually(lambda channel=channel: chat.network.reactions(channel), bool)  # type: ignore[misc]
        assert reactions == [(chat.phone, emoji)]


class Model(http.server.BaseHTTPRequestHandler):
    """A language model that answers with the number of messages in the request."""

    asked: ClassVar[list[dict[str, Any]]] = []
    slow = threading.Event()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append({"path": self.path, "key": self.headers["Authorization"], **body})
        last = body["messages"][-1]["content"]
        if last == "slow":
            self.slow.wait(10)
        said = json.dumps({"choices": [{"message": {"role": "assistant", "content": f"{last}? yes"}}]}).encode()
        self.send_response(500 if last == "broken" else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def model() -> Iterator[str]:
    Model.asked.clear()
    Model.slow.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    Model.slow.set()
    server.shutdown()
    server.server_close()


def language_model(address: str, **settings: object) -> dict[str, object]:
    """The settings of a bot whose installation has its language model at `address`."""
    return {"chatgpt": {"enabled": True, "baseUrl": address, **settings}, "webAccess": {"modelUrl": address}}


def give_key(chat: Chat, address: str) -> None:
    """Like the orchestrator: send the key and its base URL."""
    secrets = {"openaiApiKey": SECRET, "openaiBaseUrl": address}
    assert chat.bot.client.put("/secrets", json=secrets).status_code == 204


def test_the_key_is_sent_only_to_its_own_base_url(chat: Chat, model: str) -> None:
    give_key(chat, "https://api.example.com/v1")
    chat.configure(**language_model(model))
    assert chat.ask("one") == "one? yes"
    give_key(chat, f"{model}/")
    assert chat.ask("two") == "two? yes"
    assert [asked["key"] for asked in Model.asked] == [None, f"Bearer {SECRET}"]


def test_two_bots_do_not_answer_each_other_forever(chat: Chat, start: Start, network: Network, model: str) -> None:
    other = Chat(start(volume="other"), network)
    for each in (chat, other):
        each.configure(**language_model(model, memoryMessages=0, answersPerChat=3))
    other.bot.send("a", chat.phone, "hello")
    event = eventually(lambda: chat.bot.events("error"), bool)[0]
    assert event["data"]["code"] == "answer-limit"
    assert len(Model.asked) == 6

    other.bot.send("b", chat.phone, "are you there?")
    chat.network.write(chat.contact, chat.phone, "three")
    assert eventually(lambda: chat.network.inbox(chat.contact), bool) == ["three? yes"]
    assert len(chat.bot.events("error")) == 1


def test_a_language_model_answers_with_the_conversation(chat: Chat, model: str) -> None:
    give_key(chat, model)
    settings = language_model(model, model="tiny", systemPrompt="Be brief.", memoryMessages=2, timeoutSeconds=0.5)
    chat.configure(**settings)

    assert chat.ask("one") == "one? yes"
    assert chat.ask("two") == "two? yes"
    assert chat.ask("three") == "three? yes"
    assert chat.ask(".ping") == "pong"
    assert chat.ask("broken") == "Sorry, I cannot answer right now. Please try again later."
    assert chat.ask("slow") == "Sorry, that took too long. Please try again later."

    third = Model.asked[2]
    assert (third["path"], third["key"], third["model"]) == ("/v1/chat/completions", f"Bearer {SECRET}", "tiny")
    assert [said["content"] for said in third["messages"]] == ["Be brief.", "two", "two? yes", "three"]
    assert "one" in [said["content"] for said in Model.asked[1]["messages"]]


def test_typing_is_shown_during_a_request_to_the_language_model(chat: Chat, model: str) -> None:
    chat.configure(typing=True, **language_model(model))
    assert chat.ask("broken").startswith("Sorry")
    states = eventually(lambda: chat.network.chat_states(chat.contact), lambda states: len(states) > 1)
    assert states == ["composing", "paused"]


def test_queued_messages_are_not_answered_once_the_language_model_is_switched_off(chat: Chat, model: str) -> None:
    chat.configure(**language_model(model))
    chat.network.write(chat.contact, chat.phone, "slow")
    eventually(lambda: Model.asked, bool)
    chat.network.write(chat.contact, chat.phone, "one more")
    eventually(lambda: chat.bot.get("/stats"), lambda stats: stats["messagesReceived"] == 2)
    chat.configure(**language_model(model, enabled=False))
    Model.slow.set()
    assert chat.ask(".ping") == "slow? yes"
    assert eventually(lambda: chat.network.inbox(chat.contact), lambda texts: len(texts) > 1) == ["slow? yes", "pong"]


def test_in_groups_the_language_model_answers_only_when_mentioned(chat: Chat, model: str) -> None:
    chat.configure(**language_model(model))
    group = chat.network.group(chat.contact, chat.phone)
    chat.bot.wait_for_group(group)
    chat.network.post(f"/contacts/{chat.contact}/messages", to=group, text="nobody asked")
    chat.network.post(f"/contacts/{chat.contact}/messages", to=group, text="bot", mentions=[chat.phone])
    assert eventually(lambda: chat.network.inbox(chat.contact), bool) == ["bot? yes"]


def test_the_key_is_only_in_memory(chat: Chat, model: str) -> None:
    give_key(chat, model)
    chat.configure(**language_model(model))
    assert chat.ask("one") == "one? yes"
    assert Model.asked[0]["key"] == f"Bearer {SECRET}"
    assert chat.ask("broken").startswith("Sorry")
    refused = chat.bot.client.put("/secrets", json={"openaiApiKey": f"{SECRET}\n"})
    assert (refused.status_code, SECRET in refused.text) == (400, False)

    assert SECRET not in chat.bot.log.read_text()
    assert SECRET not in json.dumps(chat.bot.events())
    for file in chat.bot.directory.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


def test_a_slow_answer_in_one_chat_delays_no_other_chat(chat: Chat, model: str) -> None:
    chat.configure(**language_model(model, timeoutSeconds=60))
    other = new_phone()
    chat.network.post("/contacts", phone=other, name="Bob")
    chat.network.write(chat.contact, chat.phone, "slow")
    eventually(lambda: Model.asked, bool)
    chat.network.write(other, chat.phone, ".ping")
    assert eventually(lambda: chat.network.inbox(other), bool) == ["pong"]
    assert chat.network.inbox(chat.contact) == []
    Model.slow.set()
    assert eventually(lambda: chat.network.inbox(chat.contact), bool) == ["slow? yes"]


def test_an_answer_that_may_have_been_sent_is_reported_and_not_sent_again(chat: Chat, model: str) -> None:
    chat.configure(**language_model(model))
    assert chat.ask("one") == "one? yes"
    chat.network.write(chat.contact, chat.phone, "slow")
    eventually(lambda: Model.asked, lambda asked: len(asked) == 2)
    chat.network.fail(chat.phone, "slow", delaySeconds=60)
    Model.slow.set()
    chat.network.arrived(chat.contact, 2)
    chat.network.fail(chat.phone, "replaced")  # before WhatsApp has acknowledged the answer

    def codes() -> set[str]:
        return {event["data"]["code"] for event in chat.bot.events("error")}

    assert eventually(codes, lambda codes: len(codes) == 2) == {"replaced", "reply-unconfirmed"}
    chat.network.heal(chat.phone)
    chat.bot.client.post("/connection/reset")
    chat.bot.wait_for("online")
    assert chat.ask(".ping") == "pong"
    assert chat.network.inbox(chat.contact) == ["one? yes", "slow? yes", "pong"]
