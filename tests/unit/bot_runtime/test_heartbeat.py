"""The heartbeat follows the configuration while it runs."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bot_runtime.contract import ConnectionState, RuntimeConfig
from bot_runtime.heartbeat import Heartbeat
from bot_runtime.storage.config import ConfigFile

DEADLINE = 20.0
SOON = 1e-9
"""So short that it has passed by the next beat."""


class Bot:
    """The parts that a heartbeat uses; `beats` and `resets` are counted."""

    def __init__(self, folder: Path) -> None:
        self.config = ConfigFile(folder / "config.json", RuntimeConfig(heartbeat_interval_seconds=3600))
        self.busy = False
        self.beats = asyncio.Semaphore(0)
        self.resets = 0

    def heartbeat(self) -> Heartbeat:
        connection: Any = SimpleNamespace(
            status=SimpleNamespace(state=ConnectionState.ONLINE),
            last_activity=None,
            check=self._check,
            reset=self._reset,
        )
        credentials: Any = SimpleNamespace(notice_change=self.beats.release)
        return Heartbeat(connection, self.config, credentials, announce=self._check, busy=lambda: self.busy)

    async def _check(self) -> None: ...

    def _reset(self) -> None:
        self.resets += 1


@pytest.fixture
def bot(tmp_path: Path) -> Bot:
    return Bot(tmp_path)


async def test_a_shorter_interval_applies_at_once(bot: Bot) -> None:
    heartbeat = bot.heartbeat()
    beating = asyncio.create_task(heartbeat.run())
    async with asyncio.timeout(DEADLINE):
        await bot.beats.acquire()
        bot.config.change(prefix="!")
        bot.config.change(heartbeat_interval_seconds=0.01)
        await bot.beats.acquire()
    beating.cancel()
    assert heartbeat.last is not None


async def test_the_connection_is_renewed_when_due(bot: Bot) -> None:
    bot.config.change(connection_reset_interval_seconds=SOON)
    heartbeat = bot.heartbeat()
    bot.busy = True
    await heartbeat.beat()
    assert bot.resets == 0, "not while something is being sent"
    bot.busy = False
    await heartbeat.beat()
    assert bot.resets == 1


async def test_the_next_renewal_follows_the_configuration(bot: Bot) -> None:
    heartbeat = bot.heartbeat()
    await heartbeat.beat()
    bot.config.change(connection_reset_interval_seconds=SOON)
    for _ in range(2):
        await heartbeat.beat()
    assert bot.resets == 1
    bot.config.change(connection_reset_interval_seconds=0)
    for _ in range(2):
        await heartbeat.beat()
    assert bot.resets == 1
