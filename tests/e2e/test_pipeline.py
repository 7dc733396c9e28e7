"""How a bot processes messages: exactly once, in order within a chat, without delays caused by other chats."""

from collections.abc import Iterator

import pytest

from tests.support.eventually import eventually
from tests.support.fleet import Fleet
from tests.support.live_bot import LiveBot
from tests.support.services import Gate, ServiceRequest, ServiceResponse, WebService

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def bot(fleet: Fleet) -> Iterator[LiveBot]:
    """One online bot, shared by the tests of the module."""
    bot = LiveBot(fleet, "pipeline", "491700000701")
    yield bot
    bot.delete()


@pytest.fixture
def slow(bot: LiveBot) -> Iterator[Gate]:
    """The command `.slow`, whose webhook answers when the gate is opened."""
    gate = Gate()

    def answer(asked: ServiceRequest) -> ServiceResponse:
        gate.wait()
        return ServiceResponse({"text": f"at last, {asked.body['args']}".rstrip(", ")})

    service = WebService(bot.host_address(), answer)
    command = bot.command("slow", webhook=f"{service.url}/slow")
    yield gate
    gate.open()
    bot.fleet.call("DELETE", f"/api/commands/{command}")
    service.close()


def _texts(bot: LiveBot, contact: str) -> list[str]:
    return [item["text"] for item in bot.fleet.phones.inbox(contact)]


def test_a_message_delivered_twice_is_processed_once(bot: LiveBot) -> None:
    ada = bot.contact()
    received = bot.runtime("/stats")["messagesReceived"]
    twice = bot.write(ada, ".ping")
    bot.fleet.phones.say(ada, "redeliveries", message=twice)
    last = bot.write(ada, "last")

    eventually(lambda: bot.recorded(last), what="the last message")
    assert len(bot.recorded(twice)) == 1, "recorded once"
    assert bot.runtime("/stats")["messagesReceived"] == received + 2
    assert f"Skipping duplicate message {twice}" in "\n".join(bot.fleet.call("GET", f"{bot.path}/logs")["items"])
    assert bot.ask(ada, ".ping") == "pong"
    assert _texts(bot, ada) == ["pong", "pong"], "answered once each"


def test_a_slow_command_does_not_delay_other_chats(bot: LiveBot, slow: Gate) -> None:
    ada, ben = bot.contact(), bot.contact("Ben")
    bot.write(ada, ".slow")
    eventually(lambda: slow.inside, what="the webhook's call")
    bot.write(ada, ".ping")

    assert bot.ask(ben, ".ping") == "pong"
    assert _texts(bot, ada) == [], "within the chat, messages are processed in order"
    slow.open()
    bot.fleet.phones.arrived(ada, lambda item: item["text"] == "pong")
    assert _texts(bot, ada) == ["at last", "pong"]


def test_a_command_never_runs_concurrently_with_itself(bot: LiveBot, slow: Gate) -> None:
    ada, ben = bot.contact(), bot.contact("Ben")
    bot.write(ada, ".slow one")
    eventually(lambda: slow.inside, what="the webhook's call")
    second = bot.write(ben, ".slow two")
    eventually(lambda: bot.recorded(second), what="the second call")
    assert bot.ask(bot.contact(), ".ping") == "pong", "other commands are not delayed"
    assert bot.runtime("/stats")["locksHeld"] == 1

    slow.open()
    bot.fleet.phones.arrived(ben, lambda item: item["text"] == "at last, two")
    assert (slow.passed, slow.most) == (2, 1)
    assert bot.runtime("/stats")["locksHeld"] == 0


def test_a_message_of_its_own_that_fails_is_recorded_and_does_not_affect_others(bot: LiveBot) -> None:
    nobody = "491511999999"
    bot.configure(antiDelete=True, owners=[nobody])
    ada = bot.contact()
    photo = bot.fleet.phones.attach(ada, bot.phone, "image", b"never seen")
    bot.fleet.phones.say(ada, "revocations", message=photo)

    def failures() -> list[str]:
        codes = [event["data"]["code"] for event in bot.history("error")]
        return [code for code in codes if code == "reply-failed"]

    assert eventually(failures, lambda codes: len(codes) == 2, what="heading and file in the bot's history")
    assert bot.ask(ada, ".ping") == "pong"
    assert not bot.restarted
    bot.configure(antiDelete=None, owners=None)


def test_statistics_are_kept_per_bot(bot: LiveBot) -> None:
    before = bot.runtime("/stats")
    assert bot.ask(bot.contact(), ".ping") == "pong"
    after = bot.runtime("/stats")
    assert after["botId"] == bot.id
    assert after["messagesReceived"] == before["messagesReceived"] + 1
    assert after["commandsRun"] == before["commandsRun"] + 1
    assert after["messagesCached"] >= 1
    lines = "\n".join(bot.fleet.call("GET", f"{bot.path}/logs")["items"])
    assert "[Container Stats] Bot Bot pipeline: Messages cached=" in lines
    assert "Acquired lock for command ping" in lines
    assert "Released command lock for ping" in lines
