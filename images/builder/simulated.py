"""The simulator's layers: its token tables, and the two changes that connect a bot to it.

The simulator's own package does the work (`whatsapp_simulator keys | tokens` and its `patch` module), run by this
machine's development environment.
"""

import os
import sys
from pathlib import Path

from images.builder.errors import BuildError
from images.builder.site import CA_BUNDLE, SITE, Site
from images.builder.tree import Tree
from images.builder.workspace import Workspace, digest, run

_SIMULATOR = "tests/simulator"
_PACKAGE = f"{_SIMULATOR}/whatsapp_simulator"


def _simulator(workspace: Workspace, *arguments: str | Path, what: str) -> None:
    env = {**os.environ, "PYTHONPATH": str(workspace.project / _SIMULATOR), "PYTHONDONTWRITEBYTECODE": "1"}
    run([sys.executable, *arguments], what=what, env=env)


def _library(bot: Site) -> Path:
    found = sorted((bot.installed / "neonize").glob("neonize-linux-*.so"))
    if len(found) != 1:
        raise BuildError(f"neonize for {bot.arch} contains {len(found)} libraries instead of one")
    return found[0]


def build_tokens(workspace: Workspace, bot: Site) -> None:
    """The layer `simulator-tokens`, read from neonize's library of any architecture."""
    name = "simulator-tokens"

    def make() -> None:
        tokens = workspace.scratch(name) / "tokens.json"
        workspace.say("simulator: reading the token tables from neonize")
        _simulator(
            workspace,
            *("-m", "whatsapp_simulator", "tokens", "--library", _library(bot), "--out", tokens),
            what="reading the token tables",
        )
        tree = Tree()
        tree.add_file("app/tokens.json", tokens)
        tree.write(workspace.layers / f"{name}.tar")

    workspace.cached(name, digest(bot.key, workspace.project / _PACKAGE), make)


def build_simulated(workspace: Workspace, bot: Site) -> None:
    """The layer `bot-simulated-<arch>`: neonize's library with the simulator's root key, the CA bundle with its CA."""
    name = f"bot-simulated-{bot.arch}"

    def make() -> None:
        work = workspace.scratch(name)
        workspace.say(f"bot-simulated for {bot.arch}: patching the root key, adding the certificate")
        _simulator(workspace, "-m", "whatsapp_simulator", "keys", "--out", work, what="creating the simulator's keys")
        original, patched = _library(bot), work / "patched.so"
        _simulator(
            workspace,
            workspace.project / _PACKAGE / "patch.py",
            *("--library", original, "--key", work / "noise-root.bin", "--out", patched),
            what=f"patching neonize for {bot.arch}",
        )
        bundle = (bot.installed / "certifi/cacert.pem").read_bytes() + b"\n" + (work / "ca.pem").read_bytes()
        tree = Tree()
        tree.add_file(f"{SITE}/neonize/{original.name}", patched)
        tree.add_file(CA_BUNDLE, bundle)
        tree.write(workspace.layers / f"{name}.tar")

    workspace.cached(name, digest(bot.key, workspace.project / _PACKAGE), make)
