"""Commands: built-in ones, those for owners, and custom ones."""

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest

from bot_runtime.hooks.answer_gate import PAUSED
from tests.integration.bot_runtime.harness import QUICK, Network, RuntimeProcess, Start, eventually, new_phone


class Chat:
    """A contact in a chat with a bot."""

    def __init__(self, bot: RuntimeProcess, network: Network) -> None:
        self.bot, self.network = bot, network
        self.phone, self.contact = new_phone(), new_phone()
        self.generation = 0
        bot.pair(network, self.phone)
        network.post("/contacts", phone=self.contact, name="Ada")

    def ask(self, text: str) -> str:
        """Send a text to the bot; returns its answer."""
        before = len(self.network.inbox(self.contact))
        self.network.write(self.contact, self.phone, text)
        return eventually(lambda: self.network.inbox(self.contact), lambda texts: len(texts) > before)[before]

    def configure(self, **settings: object) -> dict[str, Any]:
        """Configure the bot; returns its configuration afterwards."""
        self.generation += 1
        answer = self.bot.client.put("/config", json={"generation": self.generation, **QUICK, **settings})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture
def chat(start: Start, network: Network) -> Chat:
    return Chat(start(), network)


def test_help_lists_more_commands_for_owners(chat: Chat) -> None:
    chat.configure(name="Shop", commands=[{"name": "hours", "response": "9 to 5"}])
    answer = chat.ask(".help")
    assert answer.startswith("*Shop*")
    assert ".ping" in answer
    assert ".hours" in answer
    assert ".antidelete" not in answer
    chat.configure(owners=[chat.contact])
    assert ".antidelete [on|off]" in chat.ask(".help")


def test_status_shows_the_state_of_the_bot(chat: Chat) -> None:
    answer = chat.ask(".status")
    for word in ("Uptime: ", "Connection: online", "Memory: ", "Version: "):
        assert word in answer


def test_unknown_commands_get_no_answer(chat: Chat) -> None:
    chat.network.write(chat.contact, chat.phone, ".nonsense")
    assert chat.ask(".ping") == "pong"


def test_only_owners_change_settings_and_changes_are_reported_and_stored(chat: Chat, start: Start) -> None:
    assert "Only owners" in chat.ask(".typing on")
    chat.configure(owners=[chat.contact], generation=5)

    assert chat.ask(".typing on").startswith("typing is on")
    assert chat.ask(".prefix set !") == "Commands start with !"
    assert chat.ask("!ping") == "pong"
    assert chat.ask("!prefix set toolong").startswith("That is not possible")
    assert "Model: tiny" in chat.ask("!chatgpt set model tiny")

    told = [event["data"]["settings"] for event in chat.bot.events("settings-update")]
    assert told[:2] == [{"typing": True}, {"prefix": "!"}]
    assert told[2] == {"chatgpt": {"model": "tiny"}}
    assert chat.bot.health()["configGeneration"] == 5
    chat.bot.kill()
    again = start()
    again.wait_for("online")
    assert chat.ask("!ping") == "pong"


def test_another_bot_of_the_same_account_has_no_owner_rights_unless_a_setting_says_so(
    chat: Chat, start: Start, network: Network
) -> None:
    second = start(volume="second")
    second.pair(network, chat.phone)

    def repeat(text: str) -> str:
        """The second bot sends what a stranger wrote, and the first one answers."""
        before = len(network.inbox(chat.contact))
        second.send(f"repeat-{before}", chat.contact, text)
        texts = eventually(lambda: network.inbox(chat.contact), lambda texts: len(texts) > before + 1)
        assert texts[before] == text
        return texts[before + 1]

    assert repeat(".prefix set !") == "Only owners of this bot may use .prefix."
    chat.configure(ownersOnLinkedDevices=True)
    assert repeat(".prefix set ?") == "Commands start with ?"


def test_the_phone_of_the_account_has_owner_rights(chat: Chat) -> None:
    chat.network.write(chat.phone, chat.contact, ".prefix set !")
    eventually(
        lambda: chat.network.inbox(chat.contact), lambda texts: texts == [".prefix set !", "Commands start with !"]
    )


def test_an_earlier_configuration_does_not_undo_a_change_by_the_owner(chat: Chat) -> None:
    chat.configure(owners=[chat.contact])
    assert chat.ask(".prefix set !") == "Commands start with !"
    assert "Model: tiny" in chat.ask("!chatgpt set model tiny")
    spool = chat.bot.health()["events"]["spoolId"]
    first, second = (event["seq"] for event in chat.bot.events("settings-update"))

    older = chat.configure(owners=[chat.contact], takenOver={"spoolId": spool, "seq": first - 1})
    assert (older["prefix"], older["chatgpt"]["model"]) == ("!", "tiny")
    assert chat.ask("!ping") == "pong"

    # A configuration that includes both changes may override them.
    newer = chat.configure(owners=[chat.contact], takenOver={"spoolId": spool, "seq": second})
    assert newer["prefix"] == "."
    assert chat.ask(".ping") == "pong"


def test_typing_is_shown_while_a_command_works(chat: Chat) -> None:
    chat.configure(typing=True)
    assert chat.ask(".ping") == "pong"
    states = eventually(lambda: chat.network.chat_states(chat.contact), lambda states: len(states) > 1)
    assert states == ["composing", "paused"]


def test_a_custom_command_replaces_placeholders_once(chat: Chat) -> None:
    chat.configure(name="Shop", commands=[{"name": "hello", "response": "{bot}: {name} {number} {prefix} {args} {x}"}])
    assert chat.ask(".hello {bot}") == f"Shop: Ada {chat.contact} . {{bot}} {{x}}"


class Hook(http.server.BaseHTTPRequestHandler):
    """A webhook that answers commands."""

    calls: ClassVar[list[dict[str, Any]]] = []
    gate = threading.Event()
    """The path `/hanging` answers when it is set."""

    def do_POST(self) -> None:
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.calls.append(call)
        if self.path == "/hanging":
            self.gate.wait(30)
        status = {"/broken": 500, "/moved": 302}.get(self.path, 200)
        body = json.dumps({"text": f"you said {call['args']}"}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Location", "/fine")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def hook() -> Iterator[str]:
    """The non-loopback address of a web service on this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing
        address = probe.getsockname()[0]
    server = http.server.ThreadingHTTPServer((address, 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Hook.gate.clear()
    yield f"http://{address}:{server.server_port}"
    Hook.gate.set()
    server.shutdown()
    server.server_close()


def test_a_webhook_answers_for_a_command(chat: Chat, hook: str) -> None:
    chat.configure(
        webAccess={"allowedHosts": [str(urlsplit(hook).hostname)]},
        commands=[
            {"name": "ask", "webhook": f"{hook}/fine"},
            {"name": "broken", "webhook": f"{hook}/broken"},
            {"name": "moved", "webhook": f"{hook}/moved"},
            {"name": "inside", "webhook": "http://127.0.0.1:1/"},
        ],
    )
    assert chat.ask(".ask what now") == "you said what now"
    call = Hook.calls[-1]
    assert (call["botId"], call["command"], call["senderNumber"], call["pushName"]) == (
        "bot-1", "ask", chat.contact, "Ada",
    )  # fmt: skip
    assert chat.ask(".broken") == "Sorry, broken failed: the service returned status 500."
    assert chat.ask(".moved") == "Sorry, moved failed: the service returned status 302."
    assert chat.ask(".inside") == "Sorry, inside failed: its address is not allowed."
    assert chat.ask(".ping") == "pong"


def test_webhooks_and_language_models_on_private_addresses_are_refused_unless_allowed(chat: Chat, hook: str) -> None:
    calls, service = len(Hook.calls), urlsplit(hook)
    mapped = f"http://[::ffff:{service.hostname}]:{service.port}/"
    urls = [hook, mapped, "http://192.168.0.1/", "http://[fd00:ec2::254]/", "http://100.100.100.200/"]
    commands = [{"name": f"call{number}", "webhook": url} for number, url in enumerate(urls)]
    chat.configure(commands=commands, chatgpt={"enabled": True, "baseUrl": f"{hook}/v1"})
    for number in range(len(urls)):
        assert chat.ask(f".call{number}") == f"Sorry, call{number} failed: its address is not allowed."
    assert chat.ask("hello") == "Sorry, I cannot answer right now. Please try again later."
    assert len(Hook.calls) == calls

    chat.configure(commands=commands, webAccess={"allowedHosts": [f"{service.hostname}/32"]})
    assert chat.ask(".call0 again") == "you said again"


def test_a_hanging_command_delays_neither_other_commands_nor_other_chats(chat: Chat, hook: str) -> None:
    names = [f"hang{number}" for number in range(4)]
    chat.configure(
        webAccess={"allowedHosts": [str(urlsplit(hook).hostname)]},
        commands=[{"name": "ask", "webhook": hook}, *({"name": name, "webhook": f"{hook}/hanging"} for name in names)],
    )
    calls = len(Hook.calls)
    for name in names:
        chat.network.write(chat.network.person("Eve"), chat.phone, f".{name}")
    eventually(lambda: len(Hook.calls) - calls, lambda count: count == len(names))
    assert chat.ask(".ping") == "pong"
    assert chat.ask(".ask me") == "you said me"
    assert chat.bot.get("/stats")["locksHeld"] == len(names)


def test_a_stranger_gets_a_limited_number_of_answers_one_notice_and_then_silence(chat: Chat) -> None:
    chat.configure(answersPerChat=2, answersPerBot=4)
    for _ in range(6):
        chat.network.write(chat.contact, chat.phone, ".ping")
    eventually(lambda: chat.network.inbox(chat.contact), lambda texts: len(texts) > 2)
    bob = chat.network.person("Bob")
    for _ in range(3):
        chat.network.write(bob, chat.phone, ".ping")

    # Ada got three of the four answers, one of them the notice. Bob gets the fourth, and the notice of the bot's limit.
    assert eventually(lambda: chat.network.inbox(bob), lambda texts: len(texts) > 1) == ["pong", PAUSED]
    chat.network.write(chat.phone, bob, ".status")
    texts = eventually(lambda: chat.network.inbox(bob), lambda texts: len(texts) > 3)
    assert "Uptime" in texts[3]
    assert chat.network.inbox(chat.contact) == ["pong", "pong", PAUSED]
    assert [event["data"]["code"] for event in chat.bot.events("error")] == ["answer-limit", "answer-limit"]


def test_the_statistics_count_and_the_log_shows_the_lock(chat: Chat) -> None:
    chat.configure(name="Shop")
    assert chat.ask(".ping") == "pong"
    eventually(
        lambda: chat.bot.log.read_text(),
        lambda text: "[Container Stats] Bot Shop: Messages cached=1, Locks held=0" in text,
    )
    text = chat.bot.log.read_text()
    arrived = chat.bot.events("message-upsert")[0]["data"]["messages"][0]["id"]
    assert f"Processing message {arrived} (first time in container)" in text
    assert "Acquired lock for command ping" in text
    assert "Released command lock for ping" in text
    stats = chat.bot.get("/stats")
    assert (stats["commandsRun"], stats["locksHeld"], stats["messagesReceived"]) == (1, 0, 1)
