"""An in-memory engine, for fast deterministic tests and for trying out Botdock without containers.

A `MemoryHost` is the machine: tests simulate events on it (`crash`, `remove_by_hand`, `set_unavailable`, `fail_next` …)
and inspect its content. `MemoryEngine` is the view of one installation and server, with the rules of the Docker engine;
both pass the same contract tests.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from orchestrator.engine.backlog import Backlog
from orchestrator.engine.base import (
    ContainerNotFoundError,
    ContainerSpec,
    ContainerState,
    DiskFullError,
    EngineError,
    EngineEvent,
    ImageMissingError,
    InvalidSpecError,
    Label,
    NameTakenError,
    NetworkMissingError,
    ObservedContainer,
    ObservedVolume,
    OrphanedVolumeError,
    WrongEngineError,
)
from orchestrator.engine.log_lines import log_lines
from orchestrator.engine.memory.host import EXIT_OF_SIGKILL, MemoryContainer, MemoryHost

MIN_MEMORY_BYTES = 6 << 20


class MemoryEngine:
    """Implements `Engine` on a `MemoryHost`. Every method yields to other tasks once, then acts atomically."""

    def __init__(self, *, owner: str, server: str, host: MemoryHost | None = None) -> None:
        self.host = host or MemoryHost()
        self._owner = owner
        self._server = server
        self._labels = {Label.OWNER: owner, Label.SERVER: server}
        self._backlogs: set[Backlog] = set()
        self._check: Callable[[], None] = lambda: None
        self._identity: str | None = None

    def guard(self, check: Callable[[], None]) -> None:
        """See `Engine.guard`."""
        self._check = check

    async def identity(self) -> str:
        """See `Engine.identity`."""
        await asyncio.sleep(0)
        with self.host.operation("identity"):
            if not self.host.identity:
                raise EngineError("the engine reports no id")
            return self.host.identity

    def bind(self, identity: str) -> None:
        """See `Engine.bind`."""
        self._identity = identity

    async def ping(self) -> None:
        """See `Engine.ping`."""
        await asyncio.sleep(0)
        with self._operation("ping"):
            return

    async def ensure_network(self, name: str) -> None:
        """See `Engine.ensure_network`. There are no components to attach."""
        await asyncio.sleep(0)
        self._check()
        with self._operation("ensure_network"):
            if self.host.networks.setdefault(name, dict(self._labels)) != self._labels:
                raise NameTakenError(
                    f"the network {name} exists and does not belong to this server of this installation"
                )

    async def list_containers(self) -> list[ObservedContainer]:
        """See `Engine.list_containers`."""
        await asyncio.sleep(0)
        with self._operation("list_containers"):
            return [item.observed(listed=True) for item in self.host.containers.values() if self._ours(item.labels)]

    async def list_volumes(self) -> list[ObservedVolume]:
        """See `Engine.list_volumes`."""
        await asyncio.sleep(0)
        with self._operation("list_volumes"):
            volumes = self.host.volumes.items()
            return [ObservedVolume(name, dict(labels)) for name, labels in volumes if self._ours(labels)]

    async def volume_sizes(self) -> dict[str, int]:
        """See `Engine.volume_sizes`."""
        await asyncio.sleep(0)
        with self._operation("volume_sizes"):
            volumes = self.host.volumes.items()
            return {name: self.host.volume_sizes.get(name, 0) for name, labels in volumes if self._ours(labels)}

    async def inspect_volume(self, name: str) -> ObservedVolume | None:
        """See `Engine.inspect_volume`."""
        await asyncio.sleep(0)
        with self._operation("inspect_volume"):
            labels = self.host.volumes.get(name)
            return None if labels is None else ObservedVolume(name, dict(labels))

    async def inspect(self, name: str) -> ObservedContainer | None:
        """See `Engine.inspect`."""
        await asyncio.sleep(0)
        with self._operation("inspect"):
            container = self.host.find(name)
            return container.observed(listed=False) if container else None

    async def has_image(self, image: str) -> bool:
        """See `Engine.has_image`."""
        await asyncio.sleep(0)
        with self._operation("has_image"):
            return image not in self.host.missing_images

    async def create(self, spec: ContainerSpec) -> str:
        """See `Engine.create`."""
        await asyncio.sleep(0)
        self._check()
        with self._operation("create"):
            if not self._ours(self.host.volumes.get(spec.volume, self._labels)):
                raise NameTakenError(f"the volume {spec.volume} exists and does not belong to this installation")
            volume = self.host.volumes.get(spec.volume)
            if volume is not None and volume.get(Label.BOT_UID) != spec.volume_labels.get(Label.BOT_UID):
                raise OrphanedVolumeError(spec.volume)
            if spec.name in self.host.containers:
                raise NameTakenError(f"a container named {spec.name} exists")
            if spec.image in self.host.missing_images:
                raise ImageMissingError(f"cannot create container {spec.name}: No such image: {spec.image}")
            if spec.memory_bytes < MIN_MEMORY_BYTES:
                raise InvalidSpecError(f"cannot create container {spec.name}: Minimum memory limit allowed is 6MB")
            if self.host.disk_full:
                raise DiskFullError(f"cannot create container {spec.name}: no space left on device")
            bot = {Label.BOT_ID: spec.labels[Label.BOT_ID]}
            self.host.volumes.setdefault(spec.volume, {**spec.volume_labels, **self._labels, **bot})
            return self.host.create(spec.name, {**spec.labels, **self._labels}, spec).id

    async def start(self, container: str) -> None:
        """See `Engine.start`."""
        await asyncio.sleep(0)
        self._check()
        with self._operation("start"):
            found = self._find(container)
            if found.observed(listed=True).up:
                return
            if found.spec:
                network = self.host.networks.get(found.spec.network)
                # Like Docker, by the network's id once it has run, so that one created later is another.
                if network is None or (found.network is not None and found.network is not network):
                    raise NetworkMissingError(
                        f"cannot start container {found.name}: network {found.spec.network} not found"
                    )
                found.network = network
            if self.host.disk_full:
                raise DiskFullError(f"cannot start container {found.name}: no space left on device")
            self.host.run(found)

    async def kill(self, container: str, signal: str) -> None:
        """See `Engine.kill`."""
        await asyncio.sleep(0)
        self._check()
        with self._operation("kill"):
            found = self._find(container)
            if not found.observed(listed=True).up:
                return
            found.state = ContainerState.RUNNING
            if signal == "SIGKILL":
                self.host.crash(found.name, EXIT_OF_SIGKILL)
            elif not found.ignores_sigterm:
                self.host.crash(found.name, 0)

    async def remove(self, container: str) -> None:
        """See `Engine.remove`."""
        await asyncio.sleep(0)
        self._check()
        with self._operation("remove"):
            found = self.host.find(container)
            if found:
                self.host.remove(found)

    async def remove_volume(self, volume: str) -> None:
        """See `Engine.remove_volume`."""
        await asyncio.sleep(0)
        self._check()
        with self._operation("remove_volume"):
            if not self._ours(self.host.volumes.get(volume, {})):
                return
            if any(item.spec and item.spec.volume == volume for item in self.host.containers.values()):
                raise EngineError(f"cannot remove volume {volume}: volume is in use")
            del self.host.volumes[volume]
            self.host.volume_sizes.pop(volume, None)

    async def logs(self, container: str, *, tail: int, until: datetime | None = None) -> list[str]:
        """See `Engine.logs`."""
        await asyncio.sleep(0)
        with self._operation("logs"):
            output = self._find(container).output
            lines = log_lines(b"".join(text for at, text in output if until is None or at <= until))
            return lines[-tail:] if tail else []

    async def events(self) -> AsyncIterator[EngineEvent]:
        """See `Engine.events`."""
        backlog = Backlog()
        reader = (self._owner, self._server, backlog)
        self._backlogs.add(backlog)
        self.host.readers.append(reader)
        self.host.welcome(backlog)
        try:
            async for event in backlog.read():
                yield event
        finally:
            self.host.readers.remove(reader)
            self._backlogs.discard(backlog)

    async def close(self) -> None:
        """See `Engine.close`."""
        for backlog in self._backlogs:
            backlog.end()

    @contextmanager
    def _operation(self, name: str) -> Iterator[None]:
        with self.host.operation(name):
            if self._identity not in {None, self.host.identity}:
                raise WrongEngineError(f"cannot {name}: engine {self.host.identity} answers, not {self._identity}")
            yield

    def _find(self, container: str) -> MemoryContainer:
        found = self.host.find(container)
        if found is None:
            raise ContainerNotFoundError(f"No such container: {container}")
        return found

    def _ours(self, labels: dict[str, str]) -> bool:
        return self._labels.items() <= labels.items()
