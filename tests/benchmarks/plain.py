"""The plain neonize script in our bot image, as a container on a paired bot's session.

The image holds only what the bot needs of neonize, so neonize's Python client and the packages that it imports are
installed once and mounted.
"""

import shutil
import subprocess
from importlib.metadata import version
from typing import Any

from bot_runtime.contract import AUTH_ROOT
from tests.benchmarks.world import World
from tests.support.fleet import BOT_IMAGE
from tests.support.processes import ROOT

PYTHON = "/usr/bin/python3.13"
SITE = ROOT / ".botdock/bench-neonize"
_SCRIPT = ROOT / "tests/benchmarks/scripts/plain_bot.py"
_MOUNTED = "/bench-neonize"
_LIBRARY = "neonize-linux-amd64.so"
_MAGIC = "def from_buffer(*_: object, **__: object) -> str:\n    return 'application/octet-stream'\n"
"""In place of python-magic, which needs a system library that the image lacks. The script sends no file."""


def options(world: World, bot: str) -> dict[str, Any]:
    """The options that differ from a bot's container: only the program and its packages."""
    _install()
    config = world.bare.config(bot)
    database = f"{AUTH_ROOT}/{world.server}/bot_{bot}/session.db"
    mount = {"Type": "bind", "Source": str(SITE), "Target": _MOUNTED, "ReadOnly": True}
    host = {**config["HostConfig"], "Mounts": [*config["HostConfig"]["Mounts"], mount]}
    return {
        "Entrypoint": [PYTHON],
        "Cmd": ["-c", _SCRIPT.read_text(), database],
        "Env": [*config["Env"], f"PYTHONPATH={_MOUNTED}:/app/site-packages"],
        "HostConfig": host,
    }


def _install() -> None:
    """Install the version of neonize that the bot uses, for the Python of the image."""
    package = f"neonize=={version('neonize')}"
    stamp = SITE / "installed"
    if stamp.exists() and stamp.read_text() == package:
        return
    shutil.rmtree(SITE, ignore_errors=True)
    command = [str(ROOT / ".venv/bin/uv"), "pip", "install", "--quiet", "--python-version", "3.13"]
    subprocess.run([*command, "--only-binary", ":all:", "--target", str(SITE), package], check=True)
    shutil.rmtree(SITE / "magic")
    (SITE / "magic.py").write_text(_MAGIC)
    # The image's own library: that of the simulator's images trusts the simulator.
    (SITE / "neonize" / _LIBRARY).unlink()
    (SITE / "neonize" / _LIBRARY).symlink_to(f"/app/site-packages/neonize/{_LIBRARY}")
    # As the image's own modules are, by the same Python; uv compiles only for the one that runs it.
    compiled = ["docker", "run", "--rm", "--user", "0", "--network", "none", "--volume", f"{SITE}:{_MOUNTED}"]
    subprocess.run([*compiled, "--entrypoint", PYTHON, BOT_IMAGE, "-m", "compileall", "-qq", _MOUNTED], check=True)
    stamp.write_text(package)
