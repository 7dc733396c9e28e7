"""The baseline of everything that starts containers: docker-py with the same image and options, and nothing else.

Eight threads with one warm low-level client each: more do not help (create and start are bound by the engine), fewer
are slower.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

import requests
from docker import APIClient
from docker.errors import DockerException, NotFound

from orchestrator.db.models import Bot
from orchestrator.engine.base import Label
from orchestrator.engine.docker.observe import timestamp
from orchestrator.engine.docker.template import container_config
from orchestrator.reconcile.container_spec import container_spec
from orchestrator.settings import Settings
from tests.support.eventually import eventually
from tests.support.names import resource_name

T = TypeVar("T")

THREADS = 8
OWNER = "benchmark-floor"
"""Not the installation's id: the controller must consider these containers foreign."""


class Bare:
    """Containers like those of the controller, created without it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._local = threading.local()
        self._clients: list[APIClient] = []
        first = APIClient(base_url=settings.docker_host, version="auto")
        self._version = str(first.version(api_version=False)["ApiVersion"])
        first.close()
        ready = threading.Barrier(THREADS)
        self._pool = ThreadPoolExecutor(THREADS)
        list(self._pool.map(lambda _: (self.client.ping(), ready.wait()), range(THREADS)))

    @property
    def client(self) -> APIClient:
        """The calling thread's client."""
        found: APIClient | None = getattr(self._local, "client", None)
        if found is None:
            found = self._local.client = APIClient(base_url=self._settings.docker_host, version=self._version)
            self._clients.append(found)
        return found

    def config(self, bot: str) -> dict[str, Any]:
        """Docker's create options for a bot, identical to those that the controller uses."""
        server = self._settings.server_name
        row = Bot(
            id=bot,
            server_name=server,
            name=f"Bot {bot}",
            resource_name=resource_name(server, bot),
            session_since=datetime.now(UTC),
        )
        spec = container_spec(row, self._settings, owner=OWNER, epoch=1)
        return container_config(spec, owner=OWNER, server=server)

    def create(self, bot: str, *, prefix: str = "floor", **changes: Any) -> str:
        """Create a container with the bot's own volume under another name; its id. `changes` are options that differ
        from the controller's."""
        config = self.config(bot) | changes
        name = f"{prefix}-{resource_name(self._settings.server_name, bot)}"
        answer = self.client.create_container_from_config(config, name)  # type: ignore[no-untyped-call]
        return str(answer["Id"])

    def start(self, container: str) -> None:
        """Start a container that exists."""
        self.client.start(container)

    def answers(self) -> bool:
        """Whether the engine answers."""
        try:
            return bool(self.client.ping())
        except (DockerException, requests.RequestException):
            return False

    def run(self, bot: str, *, prefix: str = "floor", **changes: Any) -> str:
        """Create and start."""
        container = self.create(bot, prefix=prefix, **changes)
        self.client.start(container)
        return container

    def each(self, do: Callable[[str], T], items: Iterable[str]) -> list[T]:
        """Apply a function to many items, eight at a time."""
        return list(self._pool.map(do, items))

    def started_at(self, containers: Iterable[str]) -> dict[str, float]:
        """By name or id: when the container was started according to the engine, as a Unix time."""

        def one(container: str) -> tuple[str, float]:
            moment: datetime | None = timestamp(self.client.inspect_container(container)["State"]["StartedAt"])
            assert moment is not None, f"{container} was never started"
            return container, moment.timestamp()

        return dict(self.each(one, containers))

    def wait_started(self, names: Iterable[str], *, since: float, deadline: float = 120) -> float:
        """Wait until containers of these names were started after the Unix time `since`; when the last one was.

        By the engine's events: listing fifty containers again and again would slow the engine down.
        """
        wanted = set(names)
        missing = set(wanted)
        filters = {"type": "container", "event": "start", "label": f"{Label.SERVER}={self._settings.server_name}"}
        events = self.client.events(since=int(since), until=int(since + deadline), filters=filters, decode=True)
        try:
            for event in events:
                missing.discard(event["Actor"]["Attributes"]["name"])
                if not missing:
                    return max(self.started_at(wanted).values())
        finally:
            events.close()
        raise TimeoutError(f"{len(missing)} of {len(wanted)} containers were not started within {deadline:g} s")

    def pid(self, container: str) -> int:
        """The host's process id of a running container's first process."""
        return int(self.client.inspect_container(container)["State"]["Pid"])

    def wait_exited(self, container: str) -> None:
        """Wait until it has exited."""
        eventually(
            lambda: self.client.inspect_container(container)["State"]["Running"], lambda up: not up, what="its exit"
        )

    def remove(self, containers: Iterable[str]) -> None:
        """Remove containers by name or id, running or not; missing ones are ignored. Their volumes stay."""

        def one(container: str) -> None:
            try:
                self.client.remove_container(container, force=True)
            except NotFound:
                pass

        self.each(one, containers)

    def clear(self) -> None:
        """Remove every container of this server's bots, bare ones and the controller's, and their volumes."""
        label = {"label": [f"{Label.SERVER}={self._settings.server_name}", Label.BOT_ID]}
        self.remove(item["Id"] for item in self.client.containers(all=True, filters=label))
        volumes = self.client.volumes(filters=label)["Volumes"] or []
        self._remove_volumes(volume["Name"] for volume in volumes)

    def remove_volumes(self, bots: Iterable[str]) -> None:
        """Remove bots' volumes."""
        self._remove_volumes(resource_name(self._settings.server_name, bot) for bot in bots)

    def _remove_volumes(self, names: Iterable[str]) -> None:
        def one(name: str) -> None:
            try:
                self.client.remove_volume(name, force=True)
            except NotFound:
                pass

        self.each(one, names)

    def name(self, bot: str, *, prefix: str = "floor") -> str:
        """The name of a container made by `create`."""
        return f"{prefix}-{resource_name(self._settings.server_name, bot)}"

    def close(self) -> None:
        """End the threads and close the connections."""
        self._pool.shutdown()
        for client in self._clients:
            client.close()


def always_restarted(config: dict[str, Any]) -> dict[str, Any]:
    """The options that make Docker itself restart the container, whatever its exit code."""
    return {"HostConfig": config["HostConfig"] | {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}}}
