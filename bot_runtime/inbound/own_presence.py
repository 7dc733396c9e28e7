"""What the account shows of itself: that it is available, and that it is typing."""

import asyncio
import logging

from bot_runtime.whatsapp.gestures import Gestures
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import WhatsAppError

log = logging.getLogger(__name__)


class OwnPresence:
    """Announces the account once per connection, and shows typing. Failures are logged and otherwise ignored."""

    def __init__(self, gestures: Gestures) -> None:
        self._gestures = gestures
        self._announced = False

    def connected(self) -> None:
        """A new connection is online: announce the account again."""
        self._announced = False

    async def announce(self) -> None:
        """Announce the account as available, once per connection. Called with every heartbeat."""
        if self._announced:
            return
        try:
            await asyncio.to_thread(self._gestures.announce)
        except WhatsAppError as exc:  # the name of the account arrives some time after pairing
            log.debug("the account is not announced yet: %s", exc)
            return
        self._announced = True

    async def show_typing(self, chat: Address, on: bool) -> None:
        """Show or stop showing "typing" in a chat."""
        try:
            await asyncio.to_thread(self._gestures.show_typing, chat, on)
        except WhatsAppError as exc:
            log.info("typing could not be shown: %s", exc)
