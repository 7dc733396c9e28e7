"""The runtime's own pulse: looks after the connection, renews it now and then, notices changed credentials."""

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bot_runtime.contract import ConnectionState

if TYPE_CHECKING:
    from bot_runtime.bot import Bot

log = logging.getLogger(__name__)

RESET_JITTER = 0.1


class Heartbeat:
    """Beats every `heartbeat_interval_seconds` of the present configuration, until cancelled."""

    def __init__(self, bot: "Bot", *, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._bot = bot
        self._uniform = uniform
        self._plan_reset()

    async def run(self) -> None:
        """Beat for ever."""
        while True:
            await self.beat()
            await self._pause()

    async def beat(self) -> None:
        """One look at the connection."""
        self._bot.last_heartbeat = datetime.now(UTC)
        connection = self._bot.connection
        log.debug("heartbeat: connection %s, last activity %s", connection.link.state, connection.last_activity)
        await connection.check()
        if connection.link.state is ConnectionState.ONLINE:
            await self._bot.responder.announce()
        self._bot.credentials.notice_change()
        self._renew_when_due()

    async def _pause(self) -> None:
        """Wait for the next beat; a shorter interval that comes meanwhile holds at once."""
        config, began = self._bot.config, _now()
        while (left := began + config.current.heartbeat_interval_seconds - _now()) > 0:
            config.changed.clear()
            try:
                await asyncio.wait_for(config.changed.wait(), left)
            except TimeoutError:
                break

    def _renew_when_due(self) -> None:
        interval = self._bot.config.current.connection_reset_interval_seconds
        if self._bot.connection.link.state is not ConnectionState.ONLINE or interval != self._reset_interval:
            self._plan_reset()
        elif interval and _now() >= self._next_reset and not self._bot.busy:
            log.info("renewing the connection, as every %.0f s", interval)
            self._plan_reset()
            self._bot.connection.reset()

    def _plan_reset(self) -> None:
        self._reset_interval = self._bot.config.current.connection_reset_interval_seconds
        self._next_reset = _now() + self._reset_interval * self._uniform(1 - RESET_JITTER, 1 + RESET_JITTER)


def _now() -> float:
    return asyncio.get_running_loop().time()
