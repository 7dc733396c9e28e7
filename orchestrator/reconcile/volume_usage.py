"""Measures what the bots store on their volumes, and stops those that store more than `VOLUME_MAX_MB`.

The engine measures it, because a compromised runtime would report anything.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from bot_runtime.contract import EventType
from orchestrator.engine.base import Engine, EngineError
from orchestrator.reconcile.bot_state import BotState, BotStates
from orchestrator.reconcile.plan import VOLUME_LIMIT, Desired, Remembered
from orchestrator.settings import Settings

log = logging.getLogger(__name__)

MAX_INTERVAL_SECONDS = 10.0
PAUSE_PER_SECOND = 50.0
"""Of a measurement, until the next: the engine reads the sizes of all files on all of its volumes, and spends at most
this part of its time on it, whatever bots have stored."""


class VolumeUsage:
    """One per leadership. `wake` requeues a bot that exceeds the limit now, or no longer does."""

    def __init__(self, *, engine: Engine, states: BotStates, settings: Settings, wake: Callable[[str], None]) -> None:
        self._engine = engine
        self._states = states
        self._max_bytes = settings.volume_max_bytes
        self._interval_seconds = min(MAX_INTERVAL_SECONDS, settings.resync_interval)
        self._wake = wake
        self._failure = ""

    async def run(self) -> None:
        """Measure until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            try:
                await self.measure()
            except EngineError as exc:
                if str(exc) != self._failure:
                    log.warning("%s; VOLUME_MAX_MB is not enforced until that works", exc)
                self._failure = str(exc)
            else:
                self._failure = ""
            await asyncio.sleep(max(self._interval_seconds, PAUSE_PER_SECOND * (clock() - began)))

    async def measure(self) -> None:
        """Measure once. Raises EngineError."""
        before = {bot_id: (state, state.remembered.session_generation) for bot_id, state in self._states.by_id.items()}
        sizes = await self._engine.volume_sizes()
        for bot_id, (state, session) in before.items():
            if self._states.by_id.get(bot_id) is not state or state.remembered.session_generation != session:
                continue  # its volume is another one by now
            was_over = self._is_over(state.volume_bytes)
            state.volume_bytes = sizes.get(state.bot.resource_name, 0)
            if self._is_over(state.volume_bytes) != was_over:
                self._wake(bot_id)

    def _is_over(self, size: int | None) -> bool:
        return size is not None and size > self._max_bytes


def limit_volume(state: BotState, target: Desired, remembered: Remembered, *, max_bytes: int, now: float) -> Remembered:
    """What is remembered of the bot after the last measurement: whether it is stopped because of its volume."""
    size, stopped = state.volume_bytes, remembered.halted == VOLUME_LIMIT
    if size is None:
        return remembered
    runs = target.approved and target.running and not target.deleting
    if size <= max_bytes or not runs or target.session_generation > remembered.session_generation:
        return replace(remembered, halted=None) if stopped else remembered
    if stopped:
        return remembered
    state.add_event(EventType.VOLUME_LIMIT, {"bytes": size, "maxBytes": max_bytes}, now=now)
    message = (
        f"its volume holds {size >> 20} MiB, and may hold {max_bytes >> 20}; increase VOLUME_MAX_MB, "
        "or restart the bot with `fresh`, which deletes its session"
    )
    return replace(remembered, halted=VOLUME_LIMIT, halted_message=message)
