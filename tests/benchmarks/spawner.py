"""JupyterHub's DockerSpawner as a peer: the best-known program that starts a container per user.

It runs in a virtual environment of its own, created by `make bench`, with the hub reduced to what `start()` reads. It
uses our image and our options, so that the spawner is the only difference.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.benchmarks.world import World
from tests.support.processes import ROOT

VENV = ROOT / ".botdock/bench-venv"
PYTHON = VENV / "bin/python"
SCRIPT = Path(__file__).parent / "scripts/docker_spawner.py"
INSTALL_SECONDS = 120
PREFIX = "spawner"


class SpawnerMissingError(Exception):
    """DockerSpawner cannot be run here; the message states why."""


@dataclass(frozen=True, slots=True)
class Spawned:
    """The result of one call or of several concurrent ones."""

    seconds: float
    """From before the (first) call until the (last) container was started according to the engine."""


class Spawner:
    """A process with DockerSpawner in it. Leaving the block ends it and removes what it started."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._started: list[str] = []

    def __enter__(self) -> Self:
        _install()
        self._process = subprocess.Popen(
            [PYTHON, SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._world.bare.remove(self._world.bare.name(bot, prefix=PREFIX) for bot in self._started)
        self._world.bare.remove_volumes(self._started)

    def start(self, bots: list[str]) -> Spawned:
        """Spawn containers for bots, all concurrently. Raises SpawnerMissingError when it fails."""
        bare = self._world.bare
        self._started += bots
        names = [bare.name(bot, prefix=PREFIX) for bot in bots]
        orders = [_order(name, bare.config(bot)) for name, bot in zip(names, bots, strict=True)]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(orders) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            _, said = self._process.communicate()
            raise SpawnerMissingError(
                f"DockerSpawner failed: {(said.strip().splitlines() or ['no output'])[-1][-160:]}"
            )
        return Spawned(max(bare.started_at(names).values()) - json.loads(line)["began"])


def _order(name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "image": config["Image"], "config": config}


def _install() -> None:
    """Create the environment unless it exists. Raises SpawnerMissingError."""
    try:
        if not PYTHON.exists():
            _call(sys.executable, "-m", "venv", str(VENV))
        if not list(VENV.glob("lib/python*/site-packages/dockerspawner")):
            began = time.monotonic()
            _call(str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "dockerspawner")
            print(f"installed dockerspawner into {VENV.relative_to(ROOT)} in {time.monotonic() - began:.0f} s")
    except subprocess.TimeoutExpired as exc:
        raise SpawnerMissingError(f"DockerSpawner could not be installed within {exc.timeout:g} s") from exc


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1][:160]
        raise SpawnerMissingError(f"DockerSpawner could not be installed: {reason}")
