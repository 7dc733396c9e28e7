"""The pulse of a bot follows its configuration while it runs."""

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
"""So short that it is over by the next beat."""


class Bot:
    """What a heartbeat looks after; `beats` and `resets` count."""

    def __init__(self, folder: Path) -> None:
        self.config = ConfigFile(folder / "config.json", RuntimeConfig(heartbeat_interval_seconds=3600))
        self.last_heartbeat: Any = None
        self.busy = False
        self.beats = asyncio.Semaphore(0)
        self.resets = 0
        self.connection: Any = SimpleNamespace(
            link=SimpleNamespace(state=ConnectionState.ONLINE), last_activity=None, check=self._look, reset=self._reset
        )
        self.responder = SimpleNamespace(announce=self._look)
        self.credentials = SimpleNamespace(notice_change=self.beats.release)

    async def _look(self) -> None: ...

    def _reset(self) -> None:
        self.resets += 1


@pytest.fixture
def bot(tmp_path: Path) -> Bot:
    return Bot(tmp_path)


async def test_a_shorter_interval_holds_at_once(bot: Bot) -> None:
    beating = asyncio.create_task(Heartbeat(bot).run())  # type: ignore[arg-type]
    async with asyncio.timeout(DEADLINE):
        await bot.beats.acquire()
        bot.config.change(prefix="!")
        bot.config.change(heartbeat_interval_seconds=0.01)
        await bot.beats.acquire()
    beating.cancel()
    assert bot.last_heartbeat is not None


async def test_the_connection_is_renewed_when_its_time_has_come(bot: Bot) -> None:
    bot.config.change(connection_reset_interval_seconds=SOON)
    heartbeat = Heartbeat(bot)  # type: ignore[arg-type]
    bot.busy = True
    await heartbeat.beat()
    assert bot.resets == 0, "not while something is being sent"
    bot.busy = False
    await heartbeat.beat()
    assert bot.resets == 1


async def test_the_time_to_the_next_renewal_follows_the_configuration(bot: Bot) -> None:
    heartbeat = Heartbeat(bot)  # type: ignore[arg-type]
    await heartbeat.beat()
    bot.config.change(connection_reset_interval_seconds=SOON)
    for _ in range(2):
        await heartbeat.beat()
    assert bot.resets == 1
    bot.config.change(connection_reset_interval_seconds=0)
    for _ in range(2):
        await heartbeat.beat()
    assert bot.resets == 1
