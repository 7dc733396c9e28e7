"""The protocol of a container engine: what the reconciler needs, and nothing else.

`docker/` implements it with a Docker engine, `memory/` in memory for fast tests. All methods may be called
concurrently, never block the event loop, and raise only:

    EngineError                  something failed; `code` is stable, the message may be shown to an operator
    ├── EngineUnavailableError        the engine does not answer; affects every bot, is the fault of none
    │   └── WrongEngineError          another engine answers than the one that was bound
    ├── ContainerStuckError           the engine answers, but no calls about this container or volume
    ├── NameTakenError                a container of that name exists (create), or a volume (create) or network
    │                            (ensure_network) of that name that is not ours
    ├── OrphanedVolumeError           the volume holds the session of another bot of ours (create)
    ├── NetworkMissingError           the bots' network is gone (create, start); `ensure_network` creates it again
    ├── ImageMissingError             the image does not exist (create)
    ├── InvalidSpecError              the engine rejects the options (create, start)
    ├── DiskFullError                 no space left on the engine's disk (create, start)
    └── ContainerNotFoundError                 no such container (start, kill, logs)
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Label:
    """Labels on every container, volume and network that Botdock creates."""

    OWNER = "botdock.owner"
    """Id of the installation (`installation.id` in Postgres): keeps two installations on one engine apart."""
    SERVER = "botdock.server"
    BOT_ID = "botdock.bot-id"
    SPEC_HASH = "botdock.spec-hash"
    SETTINGS_HASH = "botdock.settings-hash"
    """Of the part of the specification that is the same for all bots."""
    EPOCH = "botdock.epoch"
    VERSION = "botdock.version"
    BOT_UID = "botdock.bot-uid"
    """On volumes: `Bot.uid` of the bot whose session it holds; missing on volumes of versions without it."""
    SESSION_SINCE = "botdock.session-since"
    """On volumes: `Bot.session_since` at its creation (ISO 8601)."""
    COMPONENT = "botdock.component"
    """On the stack's own containers only: one of `COMPONENTS`."""


COMPONENTS = frozenset({"api", "controller", "simulator"})
"""The parts of the stack that are attached to the bots' network, each under its own name."""


class ContainerState(StrEnum):
    """The states of a container, as Docker names them."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """Everything that varies between bot containers; the rest is the engine's fixed, hardened template.

    `env` holds nothing unchecked from a caller of the API: ids match a strict pattern, the rest is generated.
    """

    name: str
    image: str
    network: str
    volume: str
    """Mounted at /auth; created if missing; carries OWNER, SERVER and BOT_ID labels."""
    env: dict[str, str]
    labels: dict[str, str]
    """BOT_ID at least; the engine adds OWNER and SERVER."""
    memory_bytes: int
    cpus: float
    pids: int
    volume_labels: dict[str, str] = field(default_factory=dict)
    """Labels of a volume that is created; an existing one must have the same BOT_UID, or none if there is none here."""
    volume_max_bytes: int = 0
    """What a volume that is created may hold, where the engine's storage can enforce it (0: unlimited)."""


@dataclass(frozen=True, slots=True)
class ObservedContainer:
    """A container as the engine reports it."""

    id: str
    name: str
    state: ContainerState
    labels: dict[str, str] = field(default_factory=dict)
    address: str | None = None
    """IP address in the bots' network while it runs."""
    started_at: datetime | None = None
    """None in results of `list_containers` (the engine's list does not include it)."""
    finished_at: datetime | None = None
    exit_code: int | None = None
    """None in results of `list_containers`, and while it runs."""
    oom_killed: bool = False

    @property
    def up(self) -> bool:
        """Whether its process exists."""
        return self.state in {ContainerState.RUNNING, ContainerState.PAUSED, ContainerState.RESTARTING}


@dataclass(frozen=True, slots=True)
class ObservedVolume:
    """A volume as the engine reports it."""

    name: str
    labels: dict[str, str] = field(default_factory=dict)


class EngineEventKind(StrEnum):
    """What an engine reports by itself. Only hints: they may be lost, so the sweep must not depend on them."""

    START = "start"
    DIE = "die"
    OOM = "oom"
    DESTROY = "destroy"
    CONNECTED = "connected"
    """The event stream is established; list the containers to learn what happened before."""


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """One hint of an engine. `bot_id` is None for CONNECTED."""

    kind: EngineEventKind
    bot_id: str | None = None
    container_id: str | None = None


class EngineError(Exception):
    """Root of all errors that an engine raises."""

    code = "engine-error"


class EngineUnavailableError(EngineError):
    """The engine does not answer."""

    code = "engine-unavailable"


class WrongEngineError(EngineUnavailableError):
    """Another engine answers than the one that holds the bots' sessions, for example after its data was recreated."""

    code = "wrong-engine"


class ContainerStuckError(EngineError):
    """The engine answers other calls, but none about this container in time. Affects this bot only."""

    code = "container-stuck"


class NameTakenError(EngineError):
    """The name belongs to a container that exists, or to a volume or network that is not ours."""

    code = "name-taken"


class OrphanedVolumeError(EngineError):
    """The bot's volume belongs to an earlier bot with the same id."""

    code = "orphaned-volume"

    def __init__(self, volume: str) -> None:
        super().__init__(
            f"the volume {volume} holds the session of an earlier bot with this id: continue that session with "
            f"`botdock volumes adopt {volume}`, or delete it with `botdock volumes remove {volume}`"
        )


class NetworkMissingError(EngineError):
    """The network of the bots is gone, or the container ran on one that was removed and created again."""

    code = "network-missing"


class ImageMissingError(EngineError):
    """The image is not available on the engine."""

    code = "image-missing"


class InvalidSpecError(EngineError):
    """The engine rejects the container's options."""

    code = "invalid-spec"


class DiskFullError(EngineError):
    """The engine's disk is full."""

    code = "disk-full"


class ContainerNotFoundError(EngineError):
    """There is no such container."""

    code = "container-not-found"


class Engine(Protocol):
    """Runs containers for one installation (`owner`) and one server."""

    def guard(self, check: Callable[[], None]) -> None:
        """Call `check` immediately before every change from now on; what it raises ends that change's call.

        A check may be called from any thread. Reads are not checked.
        """

    async def identity(self) -> str:
        """The engine's own id: constant over its restarts, lost with its data. Raises EngineError if it has none."""

    def bind(self, identity: str) -> None:
        """From now on let every call raise WrongEngineError if the engine that answers has another identity."""

    async def ping(self) -> None:
        """Return if the engine answers, else raise EngineUnavailableError."""

    async def ensure_network(self, name: str) -> None:
        """Create the server's bridge network unless it exists, and attach the stack's own containers (api, controller,
        simulator: label `botdock.component` with this owner or none) that are not attached yet."""

    async def list_containers(self) -> list[ObservedContainer]:
        """All containers with our OWNER and SERVER labels, in one call to the engine."""

    async def list_volumes(self) -> list[ObservedVolume]:
        """All volumes with our OWNER and SERVER labels, in one call to the engine."""

    async def volume_sizes(self) -> dict[str, int]:
        """Bytes in each of our volumes by name, without those whose size the engine does not determine. The engine adds
        up the files of every volume it has, which may take long: with many of them, minutes."""

    async def inspect_volume(self, name: str) -> ObservedVolume | None:
        """One volume by name, whatever its owner; None if it does not exist."""

    async def inspect(self, name: str) -> ObservedContainer | None:
        """One container by name or id, whatever its owner; None if it does not exist."""

    async def has_image(self, image: str) -> bool:
        """Whether the image is on the engine."""

    async def create(self, spec: ContainerSpec) -> str:
        """Create a container (and its volume) without starting it; returns its id."""

    async def start(self, container: str) -> None:
        """Start a created or exited container. Does nothing if it runs already."""

    async def kill(self, container: str, signal: str) -> None:
        """Send SIGTERM or SIGKILL. Does nothing if it does not run; a paused container is resumed, so it can exit."""

    async def remove(self, container: str) -> None:
        """Remove a container, killing it if it runs. Does nothing if it does not exist. Volumes remain."""

    async def remove_volume(self, volume: str) -> None:
        """Remove a volume and its content. Does nothing if it does not exist, or is not ours by its labels."""

    async def logs(self, container: str, *, tail: int, until: datetime | None = None) -> list[str]:
        """The last lines of a container's output, oldest first, each at most 1,000 characters."""

    def events(self) -> AsyncIterator[EngineEvent]:
        """Events of our containers. Reconnects by itself, which CONNECTED reports, until it is closed."""

    async def close(self) -> None:
        """Release threads and connections."""
