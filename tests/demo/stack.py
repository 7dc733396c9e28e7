"""A stack of compose.yaml: starting it, its first key, and the reason when it does not start.

Stacks are isolated from each other: each has a compose project, volumes and a server name of its own. `real()` is the
one for real phones; `demo()` has its own WhatsApp network. Names, images and ports are read from `docker compose
config`, so that `.env` counts as well as the environment.
"""

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.demo.terminal import DemoError

PROJECT = Path(__file__).resolve().parents[2]
STATE = PROJECT / ".botdock"
MIN_FREE_MB = 1000
MIGRATE_TIMEOUT_SECONDS = 120
UP_TIMEOUT_SECONDS = 300
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class Stack:
    """One stack on this machine's engine."""

    target: str
    """The make target: `demo` or `up`."""
    project: str
    server: str
    """The name of the server that its controller runs."""
    images: tuple[str, ...]
    environment: Mapping[str, str]
    ports: Mapping[str, int]
    """Ports published on loopback, by the variable that changes them."""
    external_database: bool

    @property
    def key_file(self) -> Path:
        """The file with the URL and the key, readable by its owner alone."""
        return STATE / f"{self.project.removeprefix('botdock-')}.env"

    @property
    def url(self) -> str:
        """The API's address."""
        return f"http://127.0.0.1:{self.ports['BOTDOCK_PORT']}"

    def compose(self, *arguments: str, timeout: float = UP_TIMEOUT_SECONDS) -> str:
        """The standard output of `docker compose …` for this stack. Raises DemoError with the reason."""
        command = ["docker", "compose", "--project-name", self.project, "--progress", "plain", *arguments]
        return run(command, what=f"'docker compose {arguments[0]}'", env=self.environment, timeout=timeout)

    def running(self) -> set[str]:
        """The names of its running services."""
        return set(self.compose("ps", "--services", "--status", "running").split())

    def check(self) -> None:
        """Raise DemoError if the stack cannot start: engine, images, disk space, ports."""
        root = run(["docker", "info", "--format", "{{.DockerRootDir}}"], what="asking the Docker engine").strip()
        require_disk(Path(root))
        for image in self.images:
            if call(["docker", "image", "inspect", image]).returncode:
                raise DemoError(f"the image {image} is missing; run 'make images', or 'docker pull {image}'")
        running = self.running()
        for variable, service in {"BOTDOCK_PORT": "api", "SIMULATOR_PORT": "simulator"}.items():
            if variable in self.ports and service not in running:
                require_port(self.ports[variable], variable, self.target)

    def migrate(self) -> str | None:
        """Migrate the database; the first admin key if it was created now."""
        return key_in(self.compose("run", "--rm", "-T", "migrate", timeout=MIGRATE_TIMEOUT_SECONDS))

    def new_key(self) -> str:
        """Another admin key, for when the first one is lost."""
        output = self.compose(
            *("run", "--rm", "-T", "migrate", "key", "--name", f"make {self.target}", "--role", "admin"),
            timeout=MIGRATE_TIMEOUT_SECONDS,
        )
        key = key_in(output)
        if key is None:
            raise DemoError("no key was created; see 'docker compose run --rm migrate key --help'")
        return key

    def up(self) -> None:
        """Start every service that is not running."""
        self.compose("up", "--detach", "--remove-orphans")

    def stored_key(self) -> str | None:
        """The key stored when the stack was first started."""
        try:
            return key_in(self.key_file.read_text()) if self.key_file.exists() else None
        except PermissionError:
            owner = self.key_file.owner()
            raise DemoError(
                f"{self.key_file.relative_to(PROJECT)} belongs to {owner}; run 'sudo chown -R $USER {STATE.name}'"
            ) from None

    def store_key(self, key: str) -> None:
        """Store URL and key for the next run, and for `. .botdock/demo.env`."""
        STATE.mkdir(mode=0o700, exist_ok=True)
        file = os.open(self.key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(file, "w") as opened:
            opened.write(f"BOTDOCK_URL={self.url}\nBOTDOCK_API_KEY={key}\n")
        for path in (STATE, self.key_file):
            give_to_owner_of_checkout(path)


def real() -> Stack:
    """The stack for real phones: project `botdock` unless COMPOSE_PROJECT_NAME is set, server SERVER_NAME."""
    environment = _environment()
    config = _config(environment)
    bot = config["services"]["controller"]["environment"]["BOT_IMAGE"]
    return _stack("up", config["name"], config, environment, bot)


def demo(name: str = "demo") -> Stack:
    """A stack with a simulated WhatsApp network: project `botdock-{name}`, server `{name}`, a database of its own."""
    if not _NAME.fullmatch(name):
        raise DemoError(f"'{name}' cannot be a demo's name: at most 32 lowercase letters, digits and hyphens")
    environment = _environment() | {
        "COMPOSE_PROFILES": "simulator",
        "DATABASE_URL": "",
        "SERVER_NAME": name,
        "BOTCOUNT": "",
        "BOT_PREFIX": "",
        "BOT_HTTPS_PROXY": "http://simulator:8443",
    }
    config = _config(environment)
    bot = config["services"]["simulator"]["image"].replace("/simulator:", "/bot-simulated:")
    return _stack("demo", f"botdock-{name}", config, environment | {"BOT_IMAGE": bot}, bot)


def _stack(target: str, project: str, config: Mapping[str, Any], environment: Mapping[str, str], bot: str) -> Stack:
    services: dict[str, Any] = config["services"]
    ports = {"BOTDOCK_PORT": services["api"]}
    if target == "demo":
        ports["SIMULATOR_PORT"] = services["simulator"]
    images = {service["image"] for service in services.values()} | {bot}
    return Stack(
        target=target,
        project=project,
        server=services["controller"]["environment"].get("SERVER_NAME") or "server1",
        images=tuple(sorted(images)),
        environment=environment,
        ports={variable: int(service["ports"][0]["published"]) for variable, service in ports.items()},
        external_database="postgres" not in services,
    )


def _config(environment: Mapping[str, str]) -> dict[str, Any]:
    """compose.yaml with every variable replaced by its value."""
    for variable in ("BOTDOCK_PORT", "SIMULATOR_PORT"):
        _require_port_number(variable, environment.get(variable, ""))
    command = ["docker", "compose", "config", "--format", "json"]
    config: dict[str, Any] = json.loads(run(command, what="'docker compose config'", env=environment))
    return config


def give_to_owner_of_checkout(path: Path) -> None:
    """Let the checkout's owner have a file that root has just written (`sudo make demo`)."""
    owner = PROJECT.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.chown(path, owner.st_uid, owner.st_gid)


def run(command: list[str], *, what: str, env: Mapping[str, str] | None = None, timeout: float = 60) -> str:
    """The standard output of a program. Raises DemoError with the program's last line if it fails."""
    try:
        done = call(command, env=env, timeout=timeout)
    except FileNotFoundError:
        raise DemoError(f"{command[0]} is not installed; run 'make engine'") from None
    except subprocess.TimeoutExpired:
        raise DemoError(f"{what} timed out after {timeout:.0f} s; run it again when the machine is less busy") from None
    if done.returncode:
        raise DemoError(f"{what} failed: {explain(done.stderr or done.stdout)}")
    return done.stdout


def runs(container: str) -> bool:
    """Whether the container with this id is running."""
    state = call(["docker", "inspect", "--format", "{{.State.Running}}", container])
    return state.stdout.strip() == "true"


def explain(output: str) -> str:
    """The line of a program's output that names the error, with what to do if that is known."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = lines[-1] if lines else "no output"
    advice = {
        "permission denied": "run 'make engine', which says how to get permission",
        "cannot connect to the docker daemon": "no Docker engine answers; run 'make engine'",
        "no space left on device": "the disk is full; free some space and run it again",
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
    """Raise DemoError unless the port is free; the message names the container that uses it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            holder = call(["docker", "ps", "--filter", f"publish={port}", "--format", "{{.Names}}"]).stdout.split()
            by = f" by the container {holder[0]}" if holder else ""
            raise DemoError(
                f"port {port} is in use{by}; run 'make {target} {variable}={port + 100}', or free the port"
            ) from None


def require_disk(root: Path) -> None:
    """Raise DemoError if the engine's disk is nearly full; an engine on another machine is not checked."""
    if root.exists() and (free := shutil.disk_usage(root).free >> 20) < MIN_FREE_MB:
        raise DemoError(f"only {free} MB are free under {root}; free at least {MIN_FREE_MB} MB and run it again")


def key_in(text: str) -> str | None:
    """The key in a line `BOTDOCK_API_KEY=…`."""
    lines = [line.partition("=") for line in text.splitlines()]
    return next((value.strip() for name, _, value in lines if name == "BOTDOCK_API_KEY" and value.strip()), None)


def call(
    command: list[str], *, env: Mapping[str, str] | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a program in the checkout, whatever its exit code."""
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


def _require_port_number(variable: str, value: str) -> None:
    if value and not (value.isascii() and value.isdigit() and 0 < int(value) < 65536):
        raise DemoError(f"{variable} must be a port number from 1 to 65535")
