"""Whether a bot's container may be replaced now because the installation's settings changed. Pure.

A replacement takes a bot down, and the new settings may be wrong. So only MAX_UNAVAILABLE bots are replaced at the same
time, and no further ones once a bot is worse after its replacement. What is in progress is stored with each bot
(`Remembered.replacement`), so a new leader continues with it. A bot that is not replaced keeps its container, which is
started again if it ends.

Bots that do not work anyway are limited only until some bot works with the new settings.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum

SETTLE_SECONDS = 5.0
"""How long a bot must be available in its new container until the next one is replaced."""

SETTLE_AFTER_FAILURE_SECONDS = 60.0
"""The same once the new container has failed: one that works only for a while must not continue the rollout."""

PROBATION_SECONDS = 120.0
"""How long after that a failure of the new container still counts as one of the replacement."""

STALL_SECONDS = 120.0
"""How long a replacement takes at most until the bots that wait for it report that."""

STOPPED = "rollout-stopped"


class Fitness(IntEnum):
    """How well a bot's container works. A replacement fails when the bot is worse afterwards."""

    FAILS_TO_START = 0
    """The last container never answered."""
    UNSTABLE = 1
    """It starts, and keeps ending or hanging."""
    STABLE = 2


@dataclass(frozen=True, slots=True)
class Replacement:
    """A bot's replacement in progress, failed, or settled: the bot is available, and on probation."""

    settings_hash: str
    """The settings of the new container."""
    began_at: float
    before: Fitness
    was_online: bool
    """Whether the bot was connected to WhatsApp, so that it is available only when it is connected again."""
    available_since: float | None = None
    failure: str = ""
    """Why the bot is worse in the new container; empty: it is not."""
    settled_at: float | None = None
    """When the bot had been available for long enough; None before."""


@dataclass(frozen=True, slots=True)
class RolloutBot:
    """One bot of the fleet."""

    bot_id: str
    desired: bool
    """Whether it should run."""
    works_with: str | None
    """The settings' hash of its container, while that is running and answers."""
    replacement: Replacement | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the rollout of some settings is."""

    slots: int
    """How many bots may be replaced at the same time."""
    in_progress: int
    """Bots that are being replaced, also with earlier settings, and worked before; or all of them if `proven` is false.
    """
    proven: bool
    """Whether some bot works with these settings."""
    failure: str
    """Why no further bot may be replaced; empty: nothing failed."""
    stalled: str = ""
    """Id of a bot that is not available long after its replacement began; empty: none."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a bot's container is not replaced now."""

    reason: str
    """Stable code for a bot whose phase has none; empty if it only has to wait."""
    message: str


def max_unavailable(setting: str, bots: int) -> int:
    """The number of bots that a count ("3") or percentage ("5%") of a fleet stands for, at least one."""
    if setting.endswith("%"):
        return max(1, bots * int(setting[:-1]) // 100)
    return int(setting)


def progress(fleet: Iterable[RolloutBot], *, settings_hash: str, setting: str, now: float) -> Progress:
    """How far the rollout of the settings with this hash is; `setting` is MAX_UNAVAILABLE."""
    bots = list(fleet)
    begun = [(bot, bot.replacement) for bot in bots if bot.replacement and is_open(bot.replacement)]
    proven = any(bot.works_with == settings_hash and not is_open(bot.replacement) for bot in bots)
    in_progress = [
        (bot, replacement)
        for bot, replacement in begun
        if bot.desired and (replacement.before is Fitness.STABLE or not proven)
    ]
    failures = [
        f"bot {bot.bot_id}: {replacement.failure}"
        for bot, replacement in begun
        if replacement.failure and replacement.settings_hash == settings_hash
    ]
    stalled = [bot.bot_id for bot, replacement in in_progress if now - replacement.began_at >= STALL_SECONDS]
    return Progress(
        slots=max_unavailable(setting, sum(bot.desired for bot in bots)),
        in_progress=len(in_progress),
        proven=proven,
        failure=failures[0] if failures else "",
        stalled=stalled[0] if stalled else "",
    )


def is_open(replacement: Replacement | None) -> bool:
    """Whether a replacement is in progress or has failed, so that its bot counts as one that is not available."""
    return replacement is not None and replacement.settled_at is None


def hold(rollout: Progress, fitness: Fitness, *, begun: bool = False) -> Hold | None:
    """Why a bot must not be replaced now; None if it may be.

    `begun`: it is being replaced with earlier settings, so it takes up no further slot.
    """
    if rollout.failure:
        return Hold(
            STOPPED,
            f"the new settings were not applied: the rollout stopped at {rollout.failure}. "
            "Change the settings, or restart this bot to apply them to it anyway",
        )
    if begun or (rollout.proven and fitness is not Fitness.STABLE):
        return None
    if rollout.in_progress >= rollout.slots:
        if rollout.stalled:
            return Hold(
                STOPPED,
                f"the new settings were not applied: bot {rollout.stalled} has them and is not available again. "
                "Change the settings, repair or stop that bot, or restart this one to apply them to it anyway",
            )
        return Hold("", "waiting to be replaced with new settings after other bots")
    return None


def begin(
    earlier: Replacement | None, *, settings_hash: str, fitness: Fitness, online: bool, now: float
) -> Replacement:
    """The replacement of a bot that begins now.

    `earlier`: one that has not ended, because the settings were changed again. The bot is to become as good as it was
    before that one.
    """
    if earlier is None or not is_open(earlier):
        return Replacement(settings_hash, now, before=fitness, was_online=online)
    return Replacement(settings_hash, now, before=earlier.before, was_online=online or earlier.was_online)


def observe(replacement: Replacement, *, available: bool, now: float) -> Replacement | None:
    """The replacement after the bot was looked at; None once it has ended. `available`: in its new container."""
    if replacement.settled_at is not None:
        return replacement if 0 <= now - replacement.settled_at < PROBATION_SECONDS else None
    if not available:
        return replace(replacement, available_since=None)
    since = now if replacement.available_since is None else min(replacement.available_since, now)
    if now - since < settle_seconds(replacement):
        return replace(replacement, available_since=since)
    return replace(replacement, available_since=None, failure="", settled_at=now)


def settle_seconds(replacement: Replacement) -> float:
    """How long the bot must be available until the next one is replaced."""
    return SETTLE_AFTER_FAILURE_SECONDS if replacement.failure else SETTLE_SECONDS


def record_exit(replacement: Replacement, *, after: Fitness, message: str) -> Replacement | None:
    """The replacement after the new container ended; None if the bot works no worse than before."""
    if after >= replacement.before:
        return None
    return replace(replacement, available_since=None, failure=message, settled_at=None)
