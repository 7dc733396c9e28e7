"""A stack of compose.yaml: starting it, its first key, and what went wrong when it does not start.

Two stacks never meet: each has a compose project, volumes and a server name of its own. `real()` is the one for real
phones; `demo()` brings its own WhatsApp network.
"""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.demo.terminal import Failure

PROJECT = Path(__file__).resolve().parents[2]
STATE = PROJECT / ".botdock"
MIN_FREE_MB = 1000
MIGRATE_TIMEOUT = 120
UP_TIMEOUT = 300


@dataclass(frozen=True, slots=True)
class Stack:
    """One stack on this machine's engine."""

    target: str
    """What `make` calls it: `demo` or `up`."""
    project: str
    images: tuple[str, ...]
    environment: Mapping[str, str]
    ports: Mapping[str, int]
    """Ports published on loopback, by the variable that changes them."""

    @property
    def key_file(self) -> Path:
        """Where the URL and the key are kept, readable by their owner alone."""
        return STATE / f"{self.project.removeprefix('botdock-')}.env"

    @property
    def url(self) -> str:
        """Where the API answers."""
        return f"http://127.0.0.1:{self.ports['BOTDOCK_PORT']}"

    def compose(self, *arguments: str, timeout: float = UP_TIMEOUT) -> str:
        """The standard output of `docker compose …` for this stack. Raises Failure with its reason."""
        command = ["docker", "compose", "--project-name", self.project, "--progress", "plain", *arguments]
        return run(command, what=f"'docker compose {arguments[0]}'", env=self.environment, timeout=timeout)

    def running(self) -> set[str]:
        """The names of its services that run."""
        return set(self.compose("ps", "--services", "--status", "running").split())

    def check(self) -> None:
        """Raise Failure for what would keep the stack from starting: engine, images, disk, ports."""
        root = run(["docker", "info", "--format", "{{.DockerRootDir}}"], what="asking the Docker engine").strip()
        require_disk(Path(root))
        for image in self.images:
            if _call(["docker", "image", "inspect", image]).returncode:
                raise Failure(f"the image {image} is missing; run 'make images', or 'docker pull {image}'")
        running = self.running()
        for variable, service in {"BOTDOCK_PORT": "api", "SIMULATOR_PORT": "simulator"}.items():
            if variable in self.ports and service not in running:
                require_port(self.ports[variable], variable, self.target)

    def migrate(self) -> str | None:
        """Bring the database to the present version; the first admin key where this made it."""
        return key_in(self.compose("run", "--rm", "-T", "migrate", timeout=MIGRATE_TIMEOUT))

    def new_key(self) -> str:
        """A further admin key, for when the first one is lost."""
        made = self.compose(
            *("run", "--rm", "-T", "migrate", "key", "--name", f"make {self.target}", "--role", "admin"),
            timeout=MIGRATE_TIMEOUT,
        )
        key = key_in(made)
        if key is None:
            raise Failure("no key was made; see 'docker compose run --rm migrate key --help'")
        return key

    def up(self) -> None:
        """Start what does not run yet."""
        self.compose("up", "--detach", "--remove-orphans")

    def server(self) -> str:
        """The name of the server that its controller runs."""
        config = json.loads(self.compose("config", "--format", "json"))
        return str(config["services"]["controller"]["environment"].get("SERVER_NAME") or "server1")

    def kept_key(self) -> str | None:
        """The key that was kept when the stack was first started."""
        return key_in(self.key_file.read_text()) if self.key_file.exists() else None

    def keep_key(self, key: str) -> None:
        """Keep URL and key for the next run, and for `. .botdock/demo.env`."""
        STATE.mkdir(mode=0o700, exist_ok=True)
        file = os.open(self.key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(file, "w") as opened:
            opened.write(f"BOTDOCK_URL={self.url}\nBOTDOCK_API_KEY={key}\n")


def real() -> Stack:
    """The stack for real phones: project `botdock`, settings from the environment or from `.env`."""
    return Stack(
        target="up",
        project="botdock",
        images=_images("postgres", "orchestrator", "bot"),
        environment=_environment(),
        ports={"BOTDOCK_PORT": _port("BOTDOCK_PORT", 8000)},
    )


def demo(name: str = "demo") -> Stack:
    """A stack with a simulated WhatsApp network: project `botdock-{name}`, server `{name}`, a database of its own."""
    images = _images("postgres", "orchestrator", "simulator", "bot-simulated")
    environment = _environment() | {
        "COMPOSE_PROFILES": "simulator",
        "DATABASE_URL": "",
        "SERVER_NAME": name,
        "BOTCOUNT": "",
        "BOT_PREFIX": "",
        "BOT_IMAGE": images[-1],
        "BOT_HTTPS_PROXY": "http://simulator:8443",
    }
    ports = {"BOTDOCK_PORT": _port("BOTDOCK_PORT", 8000), "SIMULATOR_PORT": _port("SIMULATOR_PORT", 8090)}
    return Stack(target="demo", project=f"botdock-{name}", images=images, environment=environment, ports=ports)


def run(command: list[str], *, what: str, env: Mapping[str, str] | None = None, timeout: float = 60) -> str:
    """The standard output of a program. Raises Failure with its last line when it fails."""
    try:
        done = _call(command, env=env, timeout=timeout)
    except FileNotFoundError:
        raise Failure(f"{command[0]} is not installed; run 'make engine'") from None
    except subprocess.TimeoutExpired:
        raise Failure(f"{what} did not end within {timeout:.0f} s; is the machine busy? Run the same again") from None
    if done.returncode:
        raise Failure(f"{what} failed: {explain(done.stderr or done.stdout)}")
    return done.stdout


def runs(container: str) -> bool:
    """Whether a container of this id runs."""
    state = _call(["docker", "inspect", "--format", "{{.State.Running}}", container])
    return state.stdout.strip() == "true"


def explain(output: str) -> str:
    """The line of a program's output that tells what is wrong, with what to do where we know it."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = lines[-1] if lines else "no output"
    advice = {
        "permission denied": "run 'make engine', which says how to get the permission",
        "cannot connect to the docker daemon": "no Docker engine answers; run 'make engine'",
        "no space left on device": "the disk is full; free some space and run the same again",
        "no such image": "run 'make images'",
        "port is already allocated": "choose another port with BOTDOCK_PORT= or SIMULATOR_PORT=",
        "address already in use": "choose another port with BOTDOCK_PORT= or SIMULATOR_PORT=",
    }
    for line in reversed(lines):
        for sign, what_to_do in advice.items():
            if sign in line.lower():
                return f"{line}; {what_to_do}"
    return last


def require_port(port: int, variable: str, target: str) -> None:
    """Raise Failure, naming who has the port if that is a container, unless it is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            holder = _call(["docker", "ps", "--filter", f"publish={port}", "--format", "{{.Names}}"]).stdout.split()
            by = f" by the container {holder[0]}" if holder else ""
            raise Failure(
                f"port {port} is taken{by}; run 'make {target} {variable}={port + 100}', or free the port"
            ) from None


def require_disk(root: Path) -> None:
    """Raise Failure when the engine's disk is nearly full; an engine on another machine is not looked at."""
    if root.exists() and (free := shutil.disk_usage(root).free >> 20) < MIN_FREE_MB:
        raise Failure(f"only {free} MB are free under {root}; free at least {MIN_FREE_MB} MB and run the same again")


def key_in(text: str) -> str | None:
    """The key in a line `BOTDOCK_API_KEY=…`."""
    lines = [line.partition("=") for line in text.splitlines()]
    return next((value.strip() for name, _, value in lines if name == "BOTDOCK_API_KEY" and value.strip()), None)


def _call(
    command: list[str], *, env: Mapping[str, str] | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=PROJECT,
        env=env,
        timeout=timeout,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    host = environment.get("DOCKER_HOST", "")
    if host.startswith("unix://"):
        environment.setdefault("DOCKER_SOCKET", host.removeprefix("unix://"))
    return environment


def _images(*names: str) -> tuple[str, ...]:
    registry, tag = os.environ.get("BOTDOCK_REGISTRY") or "botdock", os.environ.get("BOTDOCK_TAG") or "dev"
    return tuple(f"{registry}/{name}:{tag}" for name in names)


def _port(variable: str, default: int) -> int:
    value = os.environ.get(variable) or str(default)
    if not value.isascii() or not value.isdigit() or not 0 < int(value) < 65536:
        raise Failure(f"{variable} must be a port from 1 to 65535")
    return int(value)
