"""Settings of a bot, changed by REST while it is running: each takes effect without a restart."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.fleet import Fleet
from tests.support.live_bot import LiveBot
from tests.support.processes import free_port
from tests.support.services import Gate, ServiceRequest, ServiceResponse, WebService

pytestmark = pytest.mark.docker

KEY = "sk-e2e-0123456789-very-secret"
MODEL_PORT = free_port()


@pytest.fixture(scope="module")
def bot(fleet: Fleet) -> Iterator[LiveBot]:
    """One online bot, shared by the tests of the module, whose installation has a language model on this machine."""
    bot = LiveBot(fleet, "settings", "491700000901")
    fleet.controllers[-1].stop()
    fleet.start_controller(OPENAI_API_KEY=KEY, OPENAI_BASE_URL=f"http://{bot.host_address()}:{MODEL_PORT}/v1")
    yield bot
    bot.delete()


class Model:
    """A language model that repeats the last message; `slow` waits for the gate, `broken` fails."""

    def __init__(self, address: str, port: int = 0) -> None:
        self.gate = Gate()
        self.service = WebService(address, self._answer, port=port)

    def _answer(self, asked: ServiceRequest) -> ServiceResponse:
        last = asked.body["messages"][-1]["content"]
        if last == "slow":
            self.gate.wait()
        said = {"choices": [{"message": {"role": "assistant", "content": f"{last}? yes"}}]}
        return ServiceResponse(said, status=500 if last == "broken" else 200)

    def messages(self, call: int) -> list[str]:
        """The messages of a call, oldest first."""
        return [said["content"] for said in self.service.asked[call].body["messages"]]


@pytest.fixture
def model(bot: LiveBot) -> Iterator[Model]:
    """The language model that the bot is configured to use."""
    model = Model(bot.host_address(), MODEL_PORT)
    settings = {"enabled": True, "baseUrl": f"{model.service.url}/v1", "model": "tiny", "systemPrompt": "Be brief."}
    bot.configure(chatgpt={**settings, "memoryMessages": 2, "timeoutSeconds": 30})
    yield model
    model.gate.open()
    bot.configure(chatgpt=None)
    model.service.close()


def test_a_prefix_takes_effect_at_once_and_can_be_reset(bot: LiveBot) -> None:
    ada = bot.contact()
    bot.configure(prefix="!")
    bot.write(ada, ".ping")
    assert bot.ask(ada, "!ping") == "pong"
    bot.configure(prefix=None)
    assert bot.ask(ada, ".ping") == "pong"
    assert [item["text"] for item in bot.fleet.phones.inbox(ada)] == ["pong", "pong"]
    assert not bot.restarted


def test_statuses_are_viewed_once_while_the_setting_is_on(bot: LiveBot) -> None:
    ada, phones = bot.contact(), bot.fleet.phones
    before = phones.say(ada, "statuses", to=[bot.phone], text="before")
    eventually(lambda: bot.recorded(before), what="the first status")
    bot.configure(autoView=True)
    status = phones.say(ada, "statuses", to=[bot.phone], text="on holiday")

    def viewed() -> list[str]:
        return [item["id"] for item in phones.receipts(ada) if item["kind"] == "read"]

    assert eventually(viewed, what="the view") == [status]
    assert bot.runtime("/stats")["statusesViewed"] == 1
    bot.configure(autoView=None)


def test_typing_is_shown_while_a_command_works(bot: LiveBot) -> None:
    ada = bot.contact()
    bot.configure(typing=True)
    assert bot.ask(ada, ".ping") == "pong"

    def states() -> list[str]:
        return [item["state"] for item in bot.fleet.phones.get(f"/contacts/{ada}/chat-states")["items"]]

    assert eventually(states, lambda seen: len(seen) > 1, what="typing and its end") == ["composing", "paused"]
    bot.configure(typing=None)


def test_a_language_model_answers_with_the_memory_of_the_chat(bot: LiveBot, model: Model) -> None:
    ada, ben = bot.contact(), bot.contact("Ben")
    assert [bot.ask(ada, text) for text in ("one", "two", "three")] == ["one? yes", "two? yes", "three? yes"]
    assert bot.ask(ben, "hello") == "hello? yes"
    assert bot.ask(ada, ".ping") == "pong", "a command is not sent to the model"
    assert bot.ask(ada, "broken") == "Sorry, I cannot answer right now. Please try again later."

    first = model.service.asked[0]
    assert (first.path, first.authorization) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert first.body["model"] == "tiny"
    assert model.messages(1) == ["Be brief.", "one", "one? yes", "two"]
    assert model.messages(2) == ["Be brief.", "two", "two? yes", "three"], "limited by memoryMessages"
    assert model.messages(3) == ["Be brief.", "hello"], "each chat has its own memory"


def test_the_installations_key_is_not_sent_to_a_bots_own_model(bot: LiveBot, model: Model) -> None:
    other = Model(bot.host_address())
    bot.configure(chatgpt={"baseUrl": f"{other.service.url}/v1"})
    assert bot.ask(bot.contact(), "one") == "one? yes"
    assert [call.authorization for call in other.service.asked] == [None]
    assert model.service.asked == []
    other.service.close()


def test_a_language_model_that_takes_too_long_is_reported_and_delays_no_other_chat(bot: LiveBot, model: Model) -> None:
    bot.configure(chatgpt={"timeoutSeconds": 1})
    ada, ben = bot.contact(), bot.contact("Ben")
    bot.write(ada, "slow")
    eventually(lambda: model.gate.inside, what="the question")
    assert bot.ask(ben, "quick") == "quick? yes"
    bot.fleet.phones.arrived(ada, lambda item: item["text"] == "Sorry, that took too long. Please try again later.")


def test_in_a_group_a_language_model_answers_only_mentions_of_the_bot(bot: LiveBot, model: Model) -> None:
    ada, phones = bot.contact(), bot.fleet.phones
    group = phones.group(ada, bot.phone)
    phones.say(ada, "messages", to=group, text="nobody asked")
    phones.say(ada, "messages", to=group, text="who?", mentions=[bot.phone])
    assert phones.arrived(ada, lambda item: item["text"])["text"] == "who?? yes"
    assert [call.body["messages"][-1]["content"] for call in model.service.asked] == ["who?"]


def asks_with_key(bot: LiveBot, contact: str, model: Model) -> bool:
    """Whether the bot has its key: it is online shortly before it receives it again."""
    bot.ask(contact, "after")
    return model.service.asked[-1].authorization == f"Bearer {KEY}"


def test_the_key_is_sent_again_after_a_restart_in_place_which_is_no_restart_of_the_bot(
    bot: LiveBot, model: Model
) -> None:
    ada, boot = bot.contact(), bot.runtime("/health")["bootId"]
    started, restarts = bot.fleet.started_at(bot.id), bot.fleet.status(bot.id)["restarts"]
    bot.fleet.phones.fail(bot.phone, "replaced")
    eventually(lambda: bot.runtime("/health")["connection"] == "conflict", what="the conflict")
    bot.runtime("/connection/reset", method="POST")

    def back() -> bool:
        health = bot.runtime("/health")
        return bool(health["connection"] == "online" and health["bootId"] != boot)

    eventually(back, what="the new process")
    eventually(lambda: asks_with_key(bot, ada, model), what="the key")
    assert (bot.fleet.started_at(bot.id), bot.fleet.status(bot.id)["restarts"]) == (started, restarts)


def test_the_key_is_only_in_the_bots_memory_and_is_sent_again_after_a_crash(bot: LiveBot, model: Model) -> None:
    ada, container = bot.contact(), bot.fleet.container(bot.id)
    assert bot.ask(ada, "before") == "before? yes"
    container.kill("KILL")
    bot.fleet.wait_status(bot.id, lambda status: status["restarts"] == 1 and status["phase"] == "online")

    eventually(lambda: asks_with_key(bot, ada, model), what="the key")
    container.reload()
    stream, _ = container.get_archive("/auth")
    volume = b"".join(stream)
    assert b"chatgpt" in volume, "the archive contains the bot's configuration"
    places: dict[str, Any] = {
        "volume": volume.decode(errors="replace"),
        "inspect": json.dumps(container.attrs),
        "log": container.logs().decode(errors="replace"),
        "events": json.dumps(bot.history()),
        "bot": json.dumps(bot.fleet.call("GET", bot.path)),
        "database": json.dumps(bot.row("SELECT to_jsonb(bots) - 'runtime_token' FROM bots WHERE id = %s")),
    }
    assert [place for place, text in places.items() if KEY in text] == []
