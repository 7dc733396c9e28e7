"""The plain neonize script in our bot image, as a container on a paired bot's session."""

from typing import Any

from bot_runtime.contract import AUTH_ROOT
from tests.benchmarks.world import World
from tests.support.processes import ROOT

_SCRIPT = ROOT / "tests/benchmarks/scripts/plain_bot.py"


def options(world: World, bot: str) -> dict[str, Any]:
    """The options that differ from a bot's container: only the program."""
    database = f"{AUTH_ROOT}/{world.server}/bot_{bot}/session.db"
    return {"Entrypoint": ["/usr/bin/python3.13"], "Cmd": ["-c", _SCRIPT.read_text(), database]}
