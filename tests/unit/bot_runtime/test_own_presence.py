"""The account is announced once per connection."""

from typing import Any

from bot_runtime.inbound.own_presence import OwnPresence
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import WhatsAppError


class Gestures:
    """Counts announcements, and fails while `error` is set."""

    def __init__(self) -> None:
        self.error = ""
        self.announced = 0

    def announce(self) -> None:
        self._check()
        self.announced += 1

    def show_typing(self, _chat: Address, _on: bool) -> None:
        self._check()

    def _check(self) -> None:
        if self.error:
            raise WhatsAppError(self.error)


async def test_the_account_is_announced_once_per_connection() -> None:
    gestures: Any = Gestures()
    presence = OwnPresence(gestures)
    for _ in range(2):
        await presence.announce()
    assert gestures.announced == 1
    presence.connected()
    await presence.announce()
    assert gestures.announced == 2


async def test_a_failed_announcement_is_retried() -> None:
    gestures: Any = Gestures()
    presence = OwnPresence(gestures)
    gestures.error = "can't send presence without PushName set"
    await presence.announce()
    gestures.error = ""
    await presence.announce()
    assert gestures.announced == 1


async def test_a_failure_to_show_typing_is_ignored() -> None:
    gestures: Any = Gestures()
    gestures.error = "websocket not connected"
    await OwnPresence(gestures).show_typing(Address("1", "lid"), True)
