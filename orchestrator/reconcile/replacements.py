"""Asks `rollout.py` whether a bot's container may be replaced with new settings, and stores what came of it."""

from collections.abc import Callable
from dataclasses import replace

from bot_runtime.contract import ConnectionState
from orchestrator.engine.base import Label
from orchestrator.reconcile import rollout
from orchestrator.reconcile.bot_state import BotState, BotStates
from orchestrator.reconcile.plan import Desired, is_ours
from orchestrator.reconcile.rollout import Fitness, Hold, Replacement
from orchestrator.states import Approval, DesiredState, Phase

PROGRESS_SECONDS = 1.0
"""How long the progress of a rollout is remembered, unless it changes here: every waiting bot asks for it."""


class Replacements:
    """One per leadership, for all bots of a server."""

    def __init__(
        self,
        *,
        states: BotStates,
        max_unavailable: str,
        clock: Callable[[], float],
        wake: Callable[[str], None],
        complete: Callable[[], bool],
    ) -> None:
        """`wake` requeues a bot; `complete` returns whether all bots were read, so that none in progress is missed."""
        self._states = states
        self._max_unavailable = max_unavailable
        self._clock = clock
        self._wake = wake
        self._complete = complete
        self._progress: tuple[str, float, rollout.Progress] | None = None

    def concerns(self, state: BotState, target: Desired) -> bool:
        """Whether the bot's container is to be replaced because of the settings alone, and that has not begun."""
        container, remembered = state.container, state.remembered
        if container is None or not is_ours(target, container) or container.name != target.container_name:
            return False
        if not (target.approved and target.running) or target.deleting or not target.spec_hash:
            return False
        if container.labels.get(Label.SPEC_HASH) == target.spec_hash or _settings(state) == target.settings_hash:
            return False
        if target.restart_generation > remembered.restart_generation:
            return False
        if target.session_generation > remembered.session_generation:
            return False
        replacement = remembered.replacement
        return replacement is None or replacement.settings_hash != target.settings_hash or bool(replacement.failure)

    def hold(self, state: BotState, target: Desired) -> Hold | None:
        """Why the container of a bot that this concerns must not be replaced now; None if it may be."""
        if not self._complete():
            return Hold("", "")
        begun = rollout.is_open(state.remembered.replacement)
        return rollout.hold(self._current(target.settings_hash), _fitness(state), begun=begun)

    def begin(self, state: BotState, target: Desired) -> Replacement:
        """The bot's container is replaced now."""
        replacement = rollout.begin(
            state.remembered.replacement,
            settings_hash=target.settings_hash,
            fitness=_fitness(state),
            online=state.phase is Phase.ONLINE,
            now=self._clock(),
        )
        state.remembered = replace(state.remembered, replacement=replacement)
        self._progress = None
        return replacement

    def observe(self, state: BotState, target: Desired) -> None:
        """Find out whether the bot's replacement has ended; the next bots are replaced then."""
        replacement = state.remembered.replacement
        if replacement is None or not target.settings_hash:
            return
        changed = replacement.settings_hash != target.settings_hash
        if changed and not rollout.is_open(replacement):
            self._store(state, None)
            return
        if changed and _settings(state) in {None, target.settings_hash}:
            # The settings were changed again, and the bot's container has the new ones already, or the next one will.
            replacement = self.begin(state, target)
        available = _settings(state) == replacement.settings_hash and _is_available(state, replacement)
        self._store(state, rollout.observe(replacement, available=available, now=self._clock()))

    def due_seconds(self, state: BotState) -> float | None:
        """When to look at the bot again, because its replacement may have ended."""
        replacement = state.remembered.replacement
        if replacement is None or replacement.available_since is None:
            return None
        return max(0.0, replacement.available_since + rollout.settle_seconds(replacement) - self._clock())

    def ended(self, state: BotState, *, answered: bool, message: str) -> None:
        """The container that is there ended, or could not be started. `answered`: whether it ever did."""
        replacement = state.remembered.replacement
        if replacement is None or _settings(state) not in {None, replacement.settings_hash}:
            return
        after = Fitness.UNSTABLE if answered else Fitness.FAILS_TO_START
        self._store(state, rollout.record_exit(replacement, after=after, message=message))

    def _store(self, state: BotState, after: Replacement | None) -> None:
        before = state.remembered.replacement
        if before is None or after == before:
            return
        state.remembered = replace(state.remembered, replacement=after)
        self._progress = None
        if rollout.is_open(before) and not rollout.is_open(after):
            self._wake_waiting(before.settings_hash, self._current(before.settings_hash).slots)
        elif after is not None and after.failure and not before.failure:
            self._wake_waiting(before.settings_hash, len(self._states.by_id))

    def _wake_waiting(self, settings_hash: str, number: int) -> None:
        """Only as many as may be replaced now, of possibly hundreds; the others are asked after them, or by a sweep."""
        waiting = [
            bot_id
            for bot_id, state in self._states.by_id.items()
            if _settings(state) not in {None, settings_hash}
            and _is_desired(state)
            and (state.remembered.replacement is None or state.remembered.replacement.settings_hash != settings_hash)
        ]
        for bot_id in waiting[:number]:
            self._wake(bot_id)

    def _current(self, settings_hash: str) -> rollout.Progress:
        now = self._clock()
        if self._progress is not None:
            of, at, progress = self._progress
            if of == settings_hash and 0 <= now - at < PROGRESS_SECONDS:
                return progress
        fleet = [
            rollout.RolloutBot(
                bot_id,
                desired=_is_desired(state),
                works_with=_settings(state) if _answers(state) else None,
                replacement=state.remembered.replacement,
            )
            for bot_id, state in self._states.by_id.items()
        ]
        progress = rollout.progress(fleet, settings_hash=settings_hash, setting=self._max_unavailable, now=now)
        self._progress = (settings_hash, now, progress)
        return progress


def _settings(state: BotState) -> str | None:
    """The hash of the settings of the bot's container; None if there is no container."""
    return None if state.container is None else state.container.labels.get(Label.SETTINGS_HASH, "")


def _is_desired(state: BotState) -> bool:
    bot = state.bot
    approved = bot.approval_status == Approval.APPROVED
    return approved and bot.desired_state == DesiredState.RUNNING and not bot.deleting


def _answers(state: BotState) -> bool:
    up = state.container is not None and state.container.up
    return up and state.probe is not None and state.probe.seen and not state.probe.failure


def _is_available(state: BotState, replacement: Replacement) -> bool:
    if not _answers(state) or state.probe is None:
        return False
    return state.probe.connection == ConnectionState.ONLINE or not replacement.was_online


def _fitness(state: BotState) -> Fitness:
    remembered = state.remembered
    if remembered.halted is not None or remembered.history.failed_starts:
        return Fitness.FAILS_TO_START
    # Whatever probes show: while the controller is cut off, they fail for the whole fleet (see `liveness.py`).
    return Fitness.UNSTABLE if remembered.crash_loop else Fitness.STABLE
