"""The heartbeat: checks the connection at intervals, renews it now and then, and notices changed credentials."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from bot_runtime.contract import ConnectionState
from bot_runtime.credentials import Credentials
from bot_runtime.storage.config import ConfigFile
from bot_runtime.whatsapp.connection import WhatsAppConnection

log = logging.getLogger(__name__)

RESET_JITTER = 0.1


class Heartbeat:
    """Beats every `heartbeat_interval_seconds` of the current configuration until cancelled. `last` is the last beat.

    `announce` is awaited with every beat while online; the connection is not renewed while `busy` returns True.
    """

    def __init__(
        self,
        connection: WhatsAppConnection,
        config: ConfigFile,
        credentials: Credentials,
        *,
        announce: Callable[[], Awaitable[None]],
        busy: Callable[[], bool],
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._connection = connection
        self._config = config
        self._credentials = credentials
        self._announce = announce
        self._busy = busy
        self._uniform = uniform
        self.last: datetime | None = None
        self._plan_reset()

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            await self.beat()
            await self._pause()

    async def beat(self) -> None:
        """Check the connection once."""
        self.last = datetime.now(UTC)
        connection = self._connection
        log.debug("heartbeat: connection %s, last activity %s", connection.status.state, connection.last_activity)
        await connection.check()
        if connection.status.state is ConnectionState.ONLINE:
            await self._announce()
        self._credentials.notice_change()
        self._renew_when_due()

    async def _pause(self) -> None:
        """Wait for the next beat; an interval that is shortened meanwhile applies at once."""
        began = _now()
        while (left := began + self._config.current.heartbeat_interval_seconds - _now()) > 0:
            self._config.changed.clear()
            try:
                await asyncio.wait_for(self._config.changed.wait(), left)
            except TimeoutError:
                break

    def _renew_when_due(self) -> None:
        interval = self._config.current.connection_reset_interval_seconds
        if self._connection.status.state is not ConnectionState.ONLINE or interval != self._reset_interval_seconds:
            self._plan_reset()
        elif interval and _now() >= self._next_reset and not self._busy():
            log.info("renewing the connection (every %.0f s)", interval)
            self._plan_reset()
            self._connection.reset()

    def _plan_reset(self) -> None:
        self._reset_interval_seconds = self._config.current.connection_reset_interval_seconds
        self._next_reset = _now() + self._reset_interval_seconds * self._uniform(1 - RESET_JITTER, 1 + RESET_JITTER)


def _now() -> float:
    return asyncio.get_running_loop().time()
