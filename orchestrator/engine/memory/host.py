"""The machine under the in-memory engine: its content, and methods that simulate external events."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Address

from orchestrator.engine.backlog import CONNECTED, Backlog
from orchestrator.engine.base import (
    ContainerSpec,
    ContainerState,
    EngineError,
    EngineEvent,
    EngineEventKind,
    EngineUnavailableError,
    Label,
    NameTakenError,
    ObservedContainer,
)

EXIT_OF_SIGKILL = 137
_FIRST_ADDRESS = IPv4Address("10.213.0.2")


@dataclass(slots=True)
class MemoryContainer:
    """A container on the host. `spec` is None for a foreign one."""

    id: str
    name: str
    labels: dict[str, str]
    spec: ContainerSpec | None = None
    network: dict[str, str] | None = None
    """The network on which it ran first."""
    state: ContainerState = ContainerState.CREATED
    address: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    oom_killed: bool = False
    ignores_sigterm: bool = False
    starts: int = 0
    output: list[tuple[datetime, bytes]] = field(default_factory=list)

    def observed(self, *, listed: bool) -> ObservedContainer:
        """As the engine reports it; a list contains less than an inspection."""
        return ObservedContainer(
            id=self.id,
            name=self.name,
            state=self.state,
            labels=dict(self.labels),
            address=self.address,
            started_at=None if listed else self.started_at,
            finished_at=None if listed else self.finished_at,
            exit_code=None if listed else self.exit_code,
            oom_killed=self.oom_killed and not listed,
        )


@dataclass(slots=True)
class _Failure:
    error: EngineError
    done: bool


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryHost:
    """The machine that engines share. Use it in one event loop; its methods take effect immediately."""

    def __init__(self, *, clock: Callable[[], datetime] = _now) -> None:
        self.clock = clock
        self.identity = "memory"
        """The same for every host, unless a test needs two engines or one whose data was recreated."""
        self.containers: dict[str, MemoryContainer] = {}
        """By name."""
        self.volumes: dict[str, dict[str, str]] = {}
        """Labels by name."""
        self.volume_sizes: dict[str, int] = {}
        """Bytes by name; 0 for any other volume."""
        self.networks: dict[str, dict[str, str]] = {}
        """Labels by name."""
        self.missing_images: set[str] = set()
        """Every other image exists."""
        self.disk_full = False
        self.hints_lost = False
        """While set, no event except CONNECTED is delivered."""
        self.calls: defaultdict[str, int] = defaultdict(int)
        """How often each method of an engine was called."""
        self._unavailable = False
        self._failures: defaultdict[str, deque[_Failure]] = defaultdict(deque)
        self.readers: list[tuple[str, str, Backlog]] = []
        """Owner, server and backlog of every event stream."""
        self._created = 0

    def set_unavailable(self, unavailable: bool) -> None:
        """Stop or start answering. Containers keep running; event streams break and are re-established."""
        self._unavailable = unavailable
        if not unavailable:
            self.break_streams()

    def welcome(self, backlog: Backlog) -> None:
        """Report CONNECTED to a reader if the host answers."""
        if not self._unavailable:
            backlog.put(CONNECTED)

    def break_streams(self) -> None:
        """Break and re-establish every event stream."""
        for _, _, backlog in self.readers:
            self.welcome(backlog)

    def fail_next(self, operation: str, error: EngineError, *, done: bool = False) -> None:
        """Let the next call of this engine method raise `error`: without any effect, or, with `done`, after it took
        effect (a lost answer)."""
        self._failures[operation].append(_Failure(error, done))

    def crash(self, name: str, exit_code: int, *, oom: bool = False) -> None:
        """End a running container's process."""
        container = self.containers[name]
        if oom:
            container.oom_killed = True
            self._emit(EngineEventKind.OOM, container)
        container.state = ContainerState.EXITED
        container.address = None
        container.exit_code = exit_code
        container.finished_at = self.clock()
        self._emit(EngineEventKind.DIE, container)

    def pause(self, name: str) -> None:
        """Freeze a running container, as `docker pause` does."""
        self.containers[name].state = ContainerState.PAUSED

    def remove_by_hand(self, name: str) -> None:
        """Remove a container, as `docker rm -f` does."""
        self.remove(self.containers[name])

    def say(self, name: str, output: bytes) -> None:
        """Let a container write to its log."""
        self.containers[name].output.append((self.clock(), output))

    def add_foreign(self, name: str, labels: dict[str, str] | None = None) -> MemoryContainer:
        """A running container that Botdock did not create."""
        container = self.create(name, labels or {})
        self.run(container)
        return container

    def find(self, container: str) -> MemoryContainer | None:
        """A container by name or id."""
        by_id = (item for item in self.containers.values() if item.id == container)
        return self.containers.get(container) or next(by_id, None)

    @contextmanager
    def operation(self, name: str) -> Iterator[None]:
        """Wraps every engine method: counts the call, and raises the failures that tests have set."""
        self.calls[name] += 1
        if self._unavailable:
            raise EngineUnavailableError(f"cannot {name}: the in-memory engine is set to be unavailable")
        failure = self._failures[name].popleft() if self._failures[name] else None
        if failure and not failure.done:
            raise failure.error
        yield
        if failure:
            raise failure.error

    def create(self, name: str, labels: dict[str, str], spec: ContainerSpec | None = None) -> MemoryContainer:
        """A container that does not run yet. Raises NameTakenError."""
        if name in self.containers:
            raise NameTakenError(f"a container named {name} exists")
        self._created += 1
        container = MemoryContainer(id=f"{self._created:064x}", name=name, labels=labels, spec=spec)
        self.containers[name] = container
        return container

    def run(self, container: MemoryContainer) -> None:
        """Start its process."""
        container.state = ContainerState.RUNNING
        container.address = str(_FIRST_ADDRESS + int(container.id, 16))
        container.started_at = self.clock()
        container.exit_code = None
        container.oom_killed = False
        container.starts += 1
        self._emit(EngineEventKind.START, container)

    def remove(self, container: MemoryContainer) -> None:
        """Remove it, ending its process first."""
        if container.observed(listed=True).up:
            self.crash(container.name, EXIT_OF_SIGKILL)
        del self.containers[container.name]
        self._emit(EngineEventKind.DESTROY, container)

    def _emit(self, kind: EngineEventKind, container: MemoryContainer) -> None:
        if self.hints_lost or self._unavailable:
            return
        labels = container.labels
        event = EngineEvent(kind=kind, bot_id=labels.get(Label.BOT_ID), container_id=container.id)
        for owner, server, backlog in self.readers:
            if (labels.get(Label.OWNER), labels.get(Label.SERVER)) == (owner, server):
                backlog.put(event)
