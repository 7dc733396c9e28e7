"""Commands a chat can give the bot: one file per command, found here by name."""

from collections.abc import Callable

from bot_runtime.commands.ping import ping
from bot_runtime.whatsapp.messages import Incoming

Command = Callable[[Incoming], str]
"""Gets the message and returns the answer."""

COMMANDS: dict[str, Command] = {
    "ping": ping,
}


def find_command(text: str, prefix: str) -> Command | None:
    """The command a text asks for, None when it asks for none."""
    words = text.removeprefix(prefix).split(maxsplit=1) if text.startswith(prefix) else []
    return COMMANDS.get(words[0].lower()) if words else None
