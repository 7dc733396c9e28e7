"""What each figure receives: the fleet to measure and the number of repetitions."""

from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.world import World


@dataclass(slots=True)
class Run:
    """One run of the benchmarks."""

    world: World
    server_url: str
    """The Postgres server, for further databases."""
    postgres: str
    """The name of its container."""
    logs: Path
    """Where processes write their output."""
    sizes: tuple[int, ...]
    """How many bots, ascending."""
    quick: bool = False
    """Fewer repetitions: to check that it works, not for published figures."""
    notes: list[str] = field(default_factory=list)
    """Remarks for readers of the table."""

    def times(self, number: int) -> int:
        """How often to repeat something that a full run repeats `number` times."""
        return max(1, number // 4) if self.quick else number
