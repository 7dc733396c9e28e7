"""The simulated network that all other tests rely on: its state survives a restart, also for bots in containers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases import Template, own_database
from tests.support.eventually import eventually
from tests.support.fleet import Fleet
from tests.support.live_bot import LiveBot

pytestmark = pytest.mark.docker


@pytest.fixture
def fleet(postgres_url: str, postgres_template: Template, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet with a simulator that persists its state."""
    with (
        own_database(postgres_url, postgres_template, "lasting") as url,
        Fleet(database_url=url, admin_key=postgres_template.admin_key, logs=tmp_path, lasting_simulator=True) as fleet,
    ):
        fleet.start()
        yield fleet


def test_bots_continue_with_a_simulator_that_was_restarted(fleet: Fleet) -> None:
    bot = LiveBot(fleet, "lasting", "491700001401")
    bot.configure(reconnectBaseDelaySeconds=0.2, maxReconnectAttempts=100)
    ada, phones = bot.contact(), fleet.phones
    group = phones.group(ada, bot.phone)
    eventually(lambda: fleet.call("GET", f"{bot.path}/groups")["items"], what="the group")
    assert bot.ask(ada, ".ping") == "pong"
    photo = phones.attach(ada, bot.phone, "image", b"pixels")
    eventually(lambda: bot.recorded(photo), what="the photo")

    fleet.restart_simulator()

    def back() -> bool:
        return len(fleet.events(bot.id, "connected")) >= 2 and phones.connected(bot.phone)

    eventually(back, what="the bot to reconnect")
    assert [item["text"] for item in phones.inbox(ada)] == ["pong"]
    assert bot.ask(ada, ".ping") == "pong", "the Signal sessions continue"
    sent = bot.send(group, message="still here")
    assert phones.arrived(ada, lambda item: item["id"] == sent["messageId"])["chat"] == group
    assert fleet.request("GET", f"{bot.path}/media/{photo}").content == b"pixels"
    assert not bot.restarted
    assert len(fleet.events(bot.id, "qr")) == 1
