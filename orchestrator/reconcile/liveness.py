"""Whether a bot that stopped answering may be replaced now, or whether the fault is not its own. Pure.

When almost no bot answers, the controller's path to them has failed until shown otherwise: nothing is replaced, except
one bot every CANARY_SECONDS. If that one answers from its new container, the path works and the others are replaced
too. When bots answer again, those that do not yet are given the time of a new series of probes. In any case only some
bots are replaced for liveness within a minute.
"""

from dataclasses import dataclass

MIN_BOTS = 3
"""With fewer bots, a shared failure cannot be distinguished from failures of their own."""
SHARE = 10
"""One bot in ten: fewer answering means a shared failure; more are not replaced within WINDOW_SECONDS."""
WINDOW_SECONDS = 60.0
CANARY_SECONDS = 300.0

SHARED = "almost no bot answers: the controller may be disconnected from their network"
TOO_MANY = "waiting to be replaced: several bots stopped answering within a minute"


@dataclass(frozen=True, slots=True)
class FleetProbes:
    """What probing currently shows of a server's bots."""

    watched: int
    """Bots whose container runs."""
    answering: int
    """Bots whose last probe succeeded, after the bot in question began to fail."""
    newest_run: float | None
    """When the newest run of an answering bot's container began (Unix time); None if no bot answers."""


class LivenessPolicy:
    """One per leadership: remembers which bots it let go, and since when almost none has answered."""

    def __init__(self, *, recovery_seconds: float) -> None:
        """`recovery_seconds`: how long a bot that does not answer is probed until it counts as failed."""
        self._recovery_seconds = recovery_seconds
        self._replaced: dict[str, float] = {}
        self._shared: _SharedFailure | None = None

    def refusal(self, bot_id: str, probes: FleetProbes, *, limited: bool, now: float) -> str:
        """Why the bot must not be replaced now; empty if it may be, which then counts. To be asked again while refused.

        `limited`: whether the number within a minute is limited, as it is for bots that answered before.
        """
        if probes.watched < MIN_BOTS:
            self._shared = None
        elif probes.answering * SHARE >= probes.watched:
            # Bots recover one after the other: what failed before the first of them answered shows nothing.
            if self._shared is not None and 0 <= now - self._shared.asked_at < self._recovery_seconds:
                return SHARED
            self._shared = None
        else:
            if self._shared is None or not 0 <= now - self._shared.asked_at <= WINDOW_SECONDS:
                self._shared = _SharedFailure(since=now, asked_at=now, canary_at=now + CANARY_SECONDS)
            self._shared.asked_at = now
            if probes.newest_run is None or probes.newest_run <= self._shared.since:
                if now < self._shared.canary_at:
                    return SHARED
                self._shared.canary_at = now + CANARY_SECONDS
                return ""
        self._replaced = {bot: at for bot, at in self._replaced.items() if 0 <= now - at < WINDOW_SECONDS}
        if limited and bot_id not in self._replaced:
            if len(self._replaced) >= max(1, probes.watched // SHARE):
                return TOO_MANY
            self._replaced[bot_id] = now
        return ""


@dataclass(slots=True)
class _SharedFailure:
    since: float
    asked_at: float
    """When almost no bot answered for the last time."""
    canary_at: float
    """When one bot may be replaced, to find out whether its new container answers."""
