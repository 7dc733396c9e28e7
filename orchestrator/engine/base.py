"""What the reconciler needs of a container engine, and nothing else.

`docker.py` does it with a Docker engine, `memory/` in memory for fast tests. All methods may be called by many tasks
at once, never block the event loop, and raise only:

    EngineError                  something failed; `code` is stable, the message may be shown to an operator
    ├── EngineUnavailableError        the engine does not answer; every bot is affected, none is at fault
    ├── NameTakenError                a container of that name exists (create), or a volume (create) or network
    │                            (ensure_network) of that name that is not ours
    ├── NetworkMissingError           the bots' network is gone (create, start); `ensure_network` makes it again
    ├── ImageMissingError             the image is not there (create)
    ├── InvalidSpecError              the engine refuses the options (create, start)
    ├── DiskFullError                 no space left on the engine's disk (create, start)
    └── ContainerNotFoundError                 no such container (start, kill, logs)
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Label:
    """Labels on every container, volume and network that Botdock makes."""

    OWNER = "botdock.owner"
    """Id of the installation (`installation.id` in Postgres): two Botdocks on one engine leave each other alone."""
    SERVER = "botdock.server"
    BOT_ID = "botdock.bot-id"
    SPEC_HASH = "botdock.spec-hash"
    EPOCH = "botdock.epoch"
    VERSION = "botdock.version"
    COMPONENT = "botdock.component"
    """On the stack's own containers only: one of `COMPONENTS`."""


COMPONENTS = frozenset({"api", "controller", "simulator"})
"""The parts of the stack that join the bots' network, each under its own name."""


class ContainerState(StrEnum):
    """Docker's words."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """Everything that varies between bot containers; all else is the fixed, hardened template of the engine.

    `env` never comes from a caller of the API unchecked: ids match a strict pattern, the rest is made by us.
    """

    name: str
    image: str
    network: str
    volume: str
    """Mounted at /auth; made when it does not exist; carries OWNER, SERVER and BOT_ID labels."""
    env: dict[str, str]
    labels: dict[str, str]
    """BOT_ID at least; the engine adds OWNER and SERVER."""
    memory_bytes: int
    cpus: float
    pids: int


@dataclass(frozen=True, slots=True)
class ObservedContainer:
    """A container as the engine shows it."""

    id: str
    name: str
    state: ContainerState
    labels: dict[str, str] = field(default_factory=dict)
    address: str | None = None
    """IP address in the bots' network while it runs."""
    started_at: datetime | None = None
    """None in answers of `list_containers` (the engine's list does not tell)."""
    finished_at: datetime | None = None
    exit_code: int | None = None
    """None in answers of `list_containers`, and while it runs."""
    oom_killed: bool = False

    @property
    def up(self) -> bool:
        """Whether its process exists."""
        return self.state in {ContainerState.RUNNING, ContainerState.PAUSED, ContainerState.RESTARTING}


class EngineEventKind(StrEnum):
    """What an engine tells without being asked. Hints: they may be lost, so a sweep must do without them."""

    START = "start"
    DIE = "die"
    OOM = "oom"
    DESTROY = "destroy"
    CONNECTED = "connected"
    """The stream of events stands; what happened before it has to be listed."""


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """One hint of an engine. `bot_id` is None for CONNECTED."""

    kind: EngineEventKind
    bot_id: str | None = None
    container_id: str | None = None


class EngineError(Exception):
    """Root of what an engine raises."""

    code = "engine-error"


class EngineUnavailableError(EngineError):
    """The engine does not answer."""

    code = "engine-unavailable"


class NameTakenError(EngineError):
    """The name belongs to a container that exists, or to a volume or network that is not ours."""

    code = "name-taken"


class NetworkMissingError(EngineError):
    """The network of the bots is gone."""

    code = "network-missing"


class ImageMissingError(EngineError):
    """The image is not on the engine and could not be had."""

    code = "image-missing"


class InvalidSpecError(EngineError):
    """The engine refuses the container's options."""

    code = "invalid-spec"


class DiskFullError(EngineError):
    """The engine's disk is full."""

    code = "disk-full"


class ContainerNotFoundError(EngineError):
    """There is no such container."""

    code = "container-not-found"


class Engine(Protocol):
    """Runs containers for one installation (`owner`) and one server."""

    async def ping(self) -> None:
        """Return when the engine answers, else raise EngineUnavailableError."""

    async def ensure_network(self, name: str) -> None:
        """Make the server's bridge network unless it exists, and attach the stack's own containers (api, controller,
        simulator: label `botdock.component` with this owner or none) that are not attached yet."""

    async def list_containers(self) -> list[ObservedContainer]:
        """All containers with our OWNER and SERVER labels, in one call to the engine."""

    async def inspect(self, name: str) -> ObservedContainer | None:
        """One container by name or id, whoever owns it; None when there is none."""

    async def has_image(self, image: str) -> bool:
        """Whether the image is on the engine."""

    async def create(self, spec: ContainerSpec) -> str:
        """Make a container (and its volume) without starting it; its id."""

    async def start(self, container: str) -> None:
        """Start a created or exited container. One that runs already is no error."""

    async def kill(self, container: str, signal: str) -> None:
        """Send SIGTERM or SIGKILL. One that does not run is no error; a paused one is thawed so that it can end."""

    async def remove(self, container: str) -> None:
        """Remove a container, killing it when it runs. One that is gone is no error. Volumes stay."""

    async def remove_volume(self, volume: str) -> None:
        """Remove a volume with all that is in it. One that is gone is no error; one that is not ours
        by label is left alone."""

    async def logs(self, container: str, *, tail: int, until: datetime | None = None) -> list[str]:
        """The last lines of a container's output, oldest first, each at most 1,000 characters."""

    def events(self) -> AsyncIterator[EngineEvent]:
        """Hints about our containers, without end: reconnects by itself (CONNECTED tells) until it is closed."""

    async def close(self) -> None:
        """Give back threads and connections."""
