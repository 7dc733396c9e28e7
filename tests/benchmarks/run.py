"""What every figure is given: the fleet to measure and how much time to spend on it."""

from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.world import World


@dataclass(slots=True)
class Run:
    """One run of the benchmarks."""

    world: World
    server_url: str
    """The Postgres server, for further databases."""
    postgres_pid: int
    """The host's process id of its container's first process."""
    logs: Path
    """Where processes write their output."""
    sizes: tuple[int, ...]
    """How many bots, ascending."""
    quick: bool = False
    """Fewer repetitions: to see whether it works, not for figures to publish."""
    notes: list[str] = field(default_factory=list)
    """What happened that a reader of the table should know."""

    def times(self, number: int) -> int:
        """How often to repeat something that is repeated `number` times in a full run."""
        return max(1, number // 4) if self.quick else number
