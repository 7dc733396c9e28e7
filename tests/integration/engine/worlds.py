"""Two machines with the same methods: the contract tests act on either.

On the Docker machine the containers run `PROGRAM`, which does on signals what a test plays on the memory machine by a
method. Everything made carries an owner that no other run has, and is removed by it.
"""

import asyncio
import base64
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import docker
from docker.errors import NotFound

from orchestrator.engine.base import ContainerSpec, ContainerState, Engine, Label
from orchestrator.engine.docker.engine import DockerEngine
from orchestrator.engine.memory.engine import MemoryEngine
from orchestrator.engine.memory.host import MemoryHost
from tests.integration.engine.proxy import SocketProxy, engine_socket

POOL = "10.217.0.0/16"
DEADLINE_SECONDS = 60.0
CRASH_EXIT_CODE = 3
READY = "ready"
MARK = "engine-test"
"""Label of resources that a test creates without an engine."""
STACK = "engine-test.stack"
"""Label of the containers that are to join the bots' network."""

PROGRAM = f"""
import base64, os, signal, sys
def crash(*_): os._exit({CRASH_EXIT_CODE})
def eat(*_):
    hoard = []
    while True: hoard.append(bytearray(b"x" * (1 << 20)))
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
signal.signal(signal.SIGUSR1, crash)
signal.signal(signal.SIGUSR2, eat)
sys.stdout.buffer.write(base64.b64decode(os.environ["SAYS"]))
print("{READY}", flush=True)
while True: signal.pause()
"""


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for a condition, and fail with `what` when it does not come true."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + DEADLINE_SECONDS
    while not await condition():
        assert clock() < deadline, f"did not happen within {DEADLINE_SECONDS} s: {what}"
        await asyncio.sleep(0.02)


class MemoryWorld:
    """A `MemoryHost`. `tag` begins every name, so that runs at the same time do not meet."""

    image = "any"

    def __init__(self) -> None:
        self.tag = "t"
        self.host = MemoryHost()
        self._engines: list[MemoryEngine] = []

    def engine(self, owner: str = "a", server: str = "server1") -> Engine:
        """A new engine of an installation on this machine."""
        self._engines.append(MemoryEngine(owner=owner, server=server, host=self.host))
        return self._engines[-1]

    async def say(self, engine: Engine, spec: ContainerSpec, output: bytes) -> ContainerSpec:
        """Make and start a container that writes `output` and then READY."""
        await engine.create(spec)
        await engine.start(spec.name)
        self.host.say(spec.name, output + f"{READY}\n".encode())
        return spec

    async def crash(self, name: str) -> None:
        """End its process with CRASH_EXIT_CODE."""
        self.host.crash(name, CRASH_EXIT_CODE)

    async def run_out_of_memory(self, name: str) -> None:
        """Let its process take more memory than it may."""
        self.host.crash(name, 137, oom=True)

    async def pause(self, name: str) -> None:
        """Freeze it."""
        self.host.pause(name)

    async def remove_by_hand(self, name: str) -> None:
        """What `docker rm -f` does."""
        self.host.remove_by_hand(name)

    async def add_foreign(self, name: str, labels: dict[str, str]) -> None:
        """A running foreign container."""
        self.host.add_foreign(name, labels)

    async def add_foreign_network(self, name: str) -> None:
        """A foreign network."""
        self.host.networks[name] = {}

    async def remove_network(self, name: str) -> None:
        """Remove a network externally."""
        del self.host.networks[name]

    async def volumes(self) -> set[str]:
        """Names of the volumes of this run."""
        return set(self.host.volumes)

    async def network_count(self, name: str) -> int:
        """How many networks have this name."""
        return int(name in self.host.networks)

    async def set_unavailable(self, unavailable: bool) -> None:
        """Make the engine unavailable, or available again."""
        self.host.set_unavailable(unavailable)

    async def break_streams(self) -> None:
        """Break every connection once."""
        self.host.break_streams()

    async def close(self) -> None:
        for engine in self._engines:
            await engine.close()


class DockerWorld:
    """The Docker engine of this machine, behind a door that can be shut."""

    def __init__(self, image: str, directory: Path) -> None:
        self.tag = f"engine-test-{uuid.uuid4().hex[:8]}"
        self.image = image
        self.client = docker.APIClient(base_url=f"unix://{engine_socket()}", version="auto")
        self._socket = directory / "engine.sock"
        self.proxy = SocketProxy(self._socket, engine_socket())
        self._engines: list[DockerEngine] = []
        self._owners: set[str] = set()

    async def open(self) -> "DockerWorld":
        await self.proxy.open()
        return self

    def owner(self, short: str) -> str:
        return f"{self.tag}-{short}"

    def engine(self, owner: str = "a", server: str = "server1") -> Engine:
        self._owners.add(self.owner(owner))
        engine = DockerEngine(
            owner=self.owner(owner),
            server=server,
            host=f"unix://{self._socket}",
            network_pool=POOL,
            stack={STACK: self.tag},
        )
        self._engines.append(engine)
        return engine

    async def network_engine(self) -> DockerEngine:
        """The same engine, reached over TCP."""
        self._owners.add(self.owner("a"))
        host = f"tcp://{await self.proxy.listen()}"
        self._engines.append(DockerEngine(owner=self.owner("a"), server="server1", host=host, network_pool=POOL))
        return self._engines[-1]

    async def say(self, engine: Engine, spec: ContainerSpec, output: bytes) -> ContainerSpec:
        spec.env["SAYS"] = base64.b64encode(output).decode()
        await engine.create(spec)
        await engine.start(spec.name)

        async def ready() -> bool:
            return READY in await engine.logs(spec.name, tail=5)

        await until(ready, "the test program runs")
        return spec

    async def crash(self, name: str) -> None:
        self.client.kill(name, "SIGUSR1")

    async def run_out_of_memory(self, name: str) -> None:
        self.client.kill(name, "SIGUSR2")

    async def pause(self, name: str) -> None:
        self.client.pause(name)

    async def remove_by_hand(self, name: str) -> None:
        self.client.remove_container(name, force=True)

    async def add_foreign(self, name: str, labels: dict[str, str]) -> None:
        self.client.create_container(
            self.image,
            name=name,
            labels={**labels, MARK: self.tag},
            environment={"PROGRAM": PROGRAM, "SAYS": ""},
        )
        self.client.start(name)

    async def add_foreign_network(self, name: str) -> None:
        self.client.create_network(name, labels={MARK: self.tag})

    async def remove_network(self, name: str) -> None:
        self.client.remove_network(name)

    async def volumes(self) -> set[str]:
        names = [item["Name"] for item in self.client.volumes()["Volumes"] or []]
        return {name for name in names if name.startswith(self.tag)}

    async def network_count(self, name: str) -> int:
        return sum(item["Name"] == name for item in self.client.networks(names=[name]))

    async def set_unavailable(self, unavailable: bool) -> None:
        await (self.proxy.shut() if unavailable else self.proxy.open())

    async def break_streams(self) -> None:
        await self.proxy.break_connections()

    async def close(self) -> None:
        for engine in self._engines:
            await engine.close()
        await self.proxy.shut()
        marks = [f"{Label.OWNER}={owner}" for owner in self._owners] + [f"{MARK}={self.tag}"]
        for mark in marks:
            for container in self.client.containers(all=True, filters={"label": mark}):
                try:
                    self.client.remove_container(container["Id"], force=True, v=True)
                except NotFound:
                    pass
        for mark in marks:
            for volume in self.client.volumes(filters={"label": mark})["Volumes"] or []:
                self.client.remove_volume(volume["Name"])
            for network in self.client.networks(filters={"label": mark}):
                self.client.remove_network(network["Id"])
        self.client.close()


World = MemoryWorld | DockerWorld


def bot_spec(world: World, bot_id: str = "bot-1", *, network: str | None = None) -> ContainerSpec:
    """What the reconciler would ask for."""
    return ContainerSpec(
        name=f"{world.tag}-server1-{bot_id}",
        image=world.image,
        network=network or f"{world.tag}-net",
        volume=f"{world.tag}-server1-{bot_id}",
        env={"PROGRAM": PROGRAM, "SAYS": ""},
        labels={Label.BOT_ID: bot_id, Label.SPEC_HASH: "abc", Label.EPOCH: "7", Label.VERSION: "0.1.0"},
        memory_bytes=48 << 20,
        cpus=0.5,
        pids=32,
    )


async def state_of(engine: Engine, name: str) -> ContainerState | None:
    """What an inspection shows, None when there is no such container."""
    container = await engine.inspect(name)
    return container.state if container else None


async def exited(engine: Engine, name: str) -> None:
    """Wait until a container has exited."""

    async def condition() -> bool:
        return await state_of(engine, name) is ContainerState.EXITED

    await until(condition, f"{name} has exited")
