"""Reacts to posts of channels that the account follows."""

import asyncio
from collections.abc import Callable

from bot_runtime.contract import RuntimeConfig
from bot_runtime.whatsapp.gestures import Gestures
from bot_runtime.whatsapp.messages import Incoming, Kind

ALL = "*"


class ChannelReactions:
    """Reacts as configured; a rule for one channel takes precedence over the one for all."""

    name = "channel reaction"

    def __init__(self, settings: Callable[[], RuntimeConfig], gestures: Gestures) -> None:
        self._settings = settings
        self._gestures = gestures

    def wants(self, message: Incoming, *, fresh: bool) -> bool:
        return message.kind is Kind.CHANNEL_POST and message.server_id > 0 and self._emoji(message) is not None

    async def handle(self, message: Incoming) -> None:
        """React."""
        emoji = self._emoji(message)
        if emoji is not None:
            await asyncio.to_thread(self._gestures.react_to_post, message.chat, message.server_id, emoji)

    def _emoji(self, message: Incoming) -> str | None:
        rules = {rule.channel: rule.emoji for rule in self._settings().channel_reactions}
        return rules.get(str(message.chat)) or rules.get(ALL)
