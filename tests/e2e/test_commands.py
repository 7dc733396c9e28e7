"""Commands in real chats: built-in ones, owner-only ones, and those created by REST while the bot is running."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.fleet import Fleet
from tests.support.live_bot import LiveBot
from tests.support.services import ServiceRequest, ServiceResponse, WebService

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def bot(fleet: Fleet) -> Iterator[LiveBot]:
    """One online bot, shared by the tests of the module and never restarted."""
    bot = LiveBot(fleet, "commands", "491700000801")
    yield bot
    assert not bot.restarted
    bot.delete()


@pytest.fixture
def owner(bot: LiveBot) -> Iterator[str]:
    """An owner, who may use settings commands; the settings are reset afterwards."""
    owner = bot.contact("Boss")
    bot.configure(owners=[f"+{owner}"])
    yield owner
    names = ("owners", "prefix", "typing", "autoView", "antiDelete", "antiViewOnce", "chatgpt")
    bot.configure(**dict.fromkeys(names))


def _settings(bot: LiveBot) -> dict[str, Any]:
    settings: dict[str, Any] = bot.fleet.call("GET", bot.path)["settings"]
    return settings


def test_everybody_may_use_the_status_commands(bot: LiveBot) -> None:
    ada = bot.contact()
    assert bot.ask(ada, ".ping") == "pong"
    status = bot.ask(ada, ".status")
    for word in ("Uptime: ", "Connection: online", "Memory: ", "Version: "):
        assert word in status
    help_text = bot.ask(ada, ".help")
    assert ".status" in help_text
    assert ".antidelete" not in help_text, "commands for owners are listed for owners only"


def test_owners_change_settings_by_command_and_the_api_shows_them(bot: LiveBot, owner: str) -> None:
    ada = bot.contact()
    assert "Only owners" in bot.ask(ada, ".typing on")
    for name in ("typing", "autoview", "antidelete", "antiviewonce"):
        assert bot.ask(owner, f".{name} on").startswith(f"{name} is on")
    assert "tiny" in bot.ask(owner, ".chatgpt set model tiny")

    settings = eventually(lambda: _settings(bot), lambda seen: "chatgpt" in seen, what="the settings in Postgres")
    assert settings["chatgpt"]["model"] == "tiny"
    assert all(settings[name] is True for name in ("typing", "autoView", "antiDelete", "antiViewOnce"))


def test_an_owner_changes_the_prefix_by_command(bot: LiveBot, owner: str) -> None:
    ada = bot.contact()
    assert "Only owners" in bot.ask(ada, ".prefix set !")
    assert bot.ask(owner, ".prefix set !") == "Commands start with !"
    assert bot.ask(ada, "!ping") == "pong"
    eventually(lambda: _settings(bot).get("prefix"), lambda prefix: prefix == "!", what="the prefix in Postgres")
    bot.settled()
    assert bot.ask(ada, "!ping") == "pong"


def test_deleted_messages_are_forwarded_to_the_owner(bot: LiveBot, owner: str) -> None:
    bot.configure(antiDelete=True)
    ada, phones = bot.contact(), bot.fleet.phones
    text = bot.write(ada, "I owe you 10")
    photo = phones.attach(ada, bot.phone, "image", b"proof", caption="signed")
    for message in (text, photo):
        phones.say(ada, "revocations", message=message)

    shown = phones.arrived(owner, lambda item: item["text"].endswith("I owe you 10"))["text"]
    assert shown.startswith(f"Ada (+{ada}) deleted a message (text, ")
    image = phones.arrived(owner, lambda item: item["kind"] == "image")
    assert phones.file(owner, image["id"]) == b"proof"

    def kept() -> dict[str, str]:
        found = [message for event in bot.history("message-upsert") for message in event["data"]["messages"]]
        return {message["revoked"]: message["original"]["text"] for message in found if "revoked" in message}

    eventually(kept, lambda seen: seen == {text: "I owe you 10", photo: "signed"}, what="the deletions in Postgres")


def test_view_once_media_is_forwarded_to_the_owner(bot: LiveBot, owner: str) -> None:
    bot.configure(antiViewOnce=True)
    ada, phones = bot.contact(), bot.fleet.phones
    phones.attach(ada, bot.phone, "image", b"secret", viewOnce=True)
    phones.arrived(owner, lambda item: item["text"] == f"Ada (+{ada}) sent a view-once image")
    image = phones.arrived(owner, lambda item: item["kind"] == "image")
    assert phones.file(owner, image["id"]) == b"secret"
    assert not image["viewOnce"]


def test_the_most_specific_command_answers_and_changes_apply_live(bot: LiveBot) -> None:
    ada = bot.contact()
    everybodys = bot.command("hours", everybody=True, response="global")
    assert bot.ask(ada, ".hours") == "global"
    servers = bot.command("hours", serverName=bot.fleet.server, response="of the server")
    assert bot.ask(ada, ".hours") == "of the server"
    own = bot.command("hours", response="{name}, {bot} is open; {args} {nonsense}")
    assert bot.ask(ada, ".hours {bot}") == "Ada, Bot commands is open; {bot} {nonsense}"

    bot.fleet.call("PATCH", f"/api/commands/{own}", {"response": "changed"})
    bot.settled()
    assert bot.ask(ada, ".hours") == "changed"
    for command in (own, servers, everybodys):
        bot.fleet.call("DELETE", f"/api/commands/{command}")
    bot.settled()
    bot.write(ada, ".hours")
    assert bot.ask(ada, ".ping") == "pong", "a deleted command is not answered"


def test_a_webhook_answers_a_command_or_fails_with_an_apology(bot: LiveBot) -> None:
    def answer(asked: ServiceRequest) -> ServiceResponse:
        return ServiceResponse(
            {"text": f"you said {asked.body['args']}"}, status=500 if asked.path == "/broken" else 200
        )

    service = WebService(bot.host_address(), answer)
    for name, url in (("order", f"{service.url}/order"), ("broken", f"{service.url}/broken"),
                      ("inside", "http://127.0.0.1:8080/health"), ("private", "http://192.168.200.1/")):  # fmt: skip
        bot.command(name, webhook=url)
    ada = bot.contact()
    assert bot.ask(ada, ".order 17") == "you said 17"
    call = service.asked[0].body
    assert (call["botId"], call["command"], call["senderNumber"], call["pushName"]) == (bot.id, "order", ada, "Ada")
    assert bot.ask(ada, ".broken") == "Sorry, broken failed: the service returned status 500."
    for name in ("inside", "private"):
        assert bot.ask(ada, f".{name}") == f"Sorry, {name} failed: its address is not allowed."
    service.close()
    assert bot.ask(ada, ".order 18") == "Sorry, order failed: the service could not be reached."


def test_posts_in_followed_channels_get_reactions(bot: LiveBot) -> None:
    phones = bot.fleet.phones
    news, sports = phones.channel(bot.phone), phones.channel(bot.phone)
    bot.configure(channelReactions=[{"channel": "*", "emoji": "👀"}, {"channel": news, "emoji": "🔥"}])

    def reactions(channel: str) -> list[tuple[str, str]]:
        return [
            (reaction["from"], reaction["emoji"])
            for post in phones.get(f"/channels/{channel}")["posts"]
            for reaction in post["reactions"]
        ]

    for channel, emoji in ((news, "🔥"), (sports, "👀")):
        phones.post(f"/channels/{channel}/posts", {"text": "something happened"})
        seen = eventually(lambda channel=channel: reactions(channel), what="a reaction")  # type: ignore[misc]
        assert seen == [(bot.phone, emoji)]
    bot.configure(channelReactions=None)
