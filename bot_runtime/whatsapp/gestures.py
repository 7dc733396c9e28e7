"""What a bot does on WhatsApp besides sending texts: typing, viewing, reacting.

Everything here blocks and must run on a thread.
"""

from datetime import datetime

from bot_runtime.whatsapp.core import Core
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import WhatsAppError

_COMPOSING, _PAUSED = 0, 1


class Gestures:
    """The gestures of a bot that is online. All methods raise `WhatsAppError`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def announce(self) -> None:
        """Announce the account as available: WhatsApp then shows its name, and sends presences."""
        _check(self._core.send_presence("available"))

    def show_typing(self, chat: Address, on: bool) -> None:
        """Show or stop showing "typing" in a chat."""
        from bot_runtime.whatsapp import encode

        _check(self._core.send_chat_presence(encode.jid(chat), _COMPOSING if on else _PAUSED))

    def mark_read(self, message_id: str, chat: Address, sender: Address, at: datetime) -> None:
        """Report to the sender that a message was read, or a status viewed."""
        from bot_runtime.whatsapp import encode

        _check(self._core.mark_read(message_id, int(at.timestamp()), encode.jid(chat), encode.jid(sender)))

    def react_to_post(self, channel: Address, server_id: int, emoji: str) -> None:
        """React to a post in a channel."""
        from bot_runtime.whatsapp import encode

        _check(self._core.react_to_post(encode.jid(channel), server_id, emoji))


def _check(error: str) -> None:
    if error:
        raise WhatsAppError(error)
