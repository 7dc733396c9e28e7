"""The Docker engine: bot containers, their volumes and their network through docker-py's low-level client.

As few calls as possible, none of them in the event loop. `client.py` owns threads and connections, `template.py`
defines the bot container, `errors.py` translates errors.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from ipaddress import IPv4Network
from typing import Any

from docker import APIClient
from docker.errors import APIError, NotFound

from orchestrator.engine.base import (
    ContainerNotFoundError,
    ContainerSpec,
    EngineEvent,
    Label,
    NameTakenError,
    ObservedContainer,
    ObservedVolume,
    OrphanedVolumeError,
)
from orchestrator.engine.docker import network, observe
from orchestrator.engine.docker.client import DockerClients
from orchestrator.engine.docker.events import EventStream
from orchestrator.engine.docker.template import container_config
from orchestrator.engine.log_lines import log_lines

PING_TIMEOUT_SECONDS = 5.0
MEASURE_TIMEOUT_SECONDS = 30.0


class DockerEngine:
    """Implements `Engine`. Belongs to the event loop that uses it first."""

    def __init__(
        self,
        *,
        owner: str,
        server: str,
        host: str = "unix:///var/run/docker.sock",
        workers: int = 8,
        network_pool: str = "10.213.0.0/16",
        stack: Mapping[str, str] | None = None,
    ) -> None:
        """`owner` and `server` label everything created here; `network_pool` is divided into a /22 per server.

        `stack` are labels (compose's project, for example) that distinguish the stack's own containers from those of
        another stack on the same engine; only containers with these labels are attached to the network (None: those of
        all stacks).

        Does not connect yet. Raises ValueError if the pool is not an IPv4 network.
        """
        self._owner = owner
        self._server = server
        self._filter = [f"{Label.OWNER}={owner}", f"{Label.SERVER}={server}"]
        self._pool = IPv4Network(network_pool)
        self._stack = dict(stack or {})
        self._clients = DockerClients(host=host, workers=workers)
        self._network_lock = asyncio.Lock()
        self._has_quotas = True
        """Whether the engine's storage can limit a volume: assumed until it refuses."""
        self._streams: set[EventStream] = set()

    def guard(self, check: Callable[[], None]) -> None:
        """See `Engine.guard`."""
        self._clients.check = check

    async def identity(self) -> str:
        """See `Engine.identity`."""
        return await self._clients.identity()

    def bind(self, identity: str) -> None:
        """See `Engine.bind`. Checked for every new connection: a daemon that restarts breaks them all."""
        self._clients.bound_to = identity

    async def ping(self) -> None:
        """See `Engine.ping`."""

        def call(client: APIClient) -> None:
            client.get(f"{client.base_url}/_ping", timeout=PING_TIMEOUT_SECONDS).raise_for_status()

        await self._clients.run("reach the engine", call, read=True)

    async def ensure_network(self, name: str) -> None:
        """See `Engine.ensure_network`."""

        def call(client: APIClient) -> None:
            network.ensure_network(client, name, pool=self._pool, owner=self._owner, server=self._server)
            network.attach_components(client, name, owner=self._owner, stack=self._stack)

        async with self._network_lock:
            await self._clients.run(f"create network {name}", call)

    async def list_containers(self) -> list[ObservedContainer]:
        """See `Engine.list_containers`."""
        filters = {"label": self._filter}
        items = await self._clients.run(
            "list containers", lambda client: client.containers(all=True, filters=filters), read=True
        )
        return [observe.from_list(item) for item in items]

    async def list_volumes(self) -> list[ObservedVolume]:
        """See `Engine.list_volumes`."""
        answer = await self._clients.run(
            "list volumes", lambda client: client.volumes(filters={"label": self._filter}), read=True
        )
        return [ObservedVolume(item["Name"], item["Labels"] or {}) for item in answer["Volumes"] or []]

    async def volume_sizes(self) -> dict[str, int]:
        """See `Engine.volume_sizes`. Volumes with options, such as a quota, are not measured by Docker."""

        def call(client: APIClient) -> list[dict[str, Any]]:
            # docker-py's `df` also requests the sizes of images and containers, which takes far longer.
            url = f"{client.base_url}/v{client.api_version}/system/df"
            answer = client.get(url, params={"type": "volume"}, timeout=MEASURE_TIMEOUT_SECONDS)
            answer.raise_for_status()
            return answer.json()["Volumes"] or []

        items = await self._clients.run("measure volumes", call)
        ours = [item for item in items if self._is_ours(item["Labels"] or {})]
        return {item["Name"]: item["UsageData"]["Size"] for item in ours if item["UsageData"]["Size"] >= 0}

    async def inspect_volume(self, name: str) -> ObservedVolume | None:
        """See `Engine.inspect_volume`."""
        labels = await self._clients.run(
            f"inspect volume {name}", lambda client: _volume_labels(client, name), read=True, about=name
        )
        return None if labels is None else ObservedVolume(name, labels)

    async def inspect(self, name: str) -> ObservedContainer | None:
        """See `Engine.inspect`."""
        try:
            item = await self._clients.run(
                f"inspect container {name}", lambda client: client.inspect_container(name), read=True, about=name
            )
        except ContainerNotFoundError:
            return None
        return observe.from_inspect(item)

    async def has_image(self, image: str) -> bool:
        """See `Engine.has_image`."""

        def call(client: APIClient) -> bool:
            try:
                client.inspect_image(image)  # type: ignore[no-untyped-call]
            except NotFound:
                return False
            return True

        return await self._clients.run(f"look for image {image}", call, read=True)

    async def create(self, spec: ContainerSpec) -> str:
        """See `Engine.create`."""

        def call(client: APIClient) -> str:
            # Docker would mount any volume of that name, even one with another bot's session.
            if (labels := _volume_labels(client, spec.volume)) is not None:
                if not self._is_ours(labels):
                    raise NameTakenError(f"the volume {spec.volume} exists and does not belong to this installation")
                if labels.get(Label.BOT_UID) != spec.volume_labels.get(Label.BOT_UID):
                    raise OrphanedVolumeError(spec.volume)
            try:
                if labels is None and spec.volume_max_bytes and self._has_quotas:
                    try:
                        return self._create(client, spec, quota_bytes=spec.volume_max_bytes)
                    except APIError as exc:
                        if "no quota support" not in str(exc.explanation):
                            raise
                        self._has_quotas = False
                return self._create(client, spec)
            except APIError as exc:
                if exc.status_code == 409:
                    raise NameTakenError(f"a container named {spec.name} exists") from None
                raise

        return await self._clients.run(f"create container {spec.name}", call, about=spec.name)

    async def start(self, container: str) -> None:
        """See `Engine.start`."""
        await self._clients.run(f"start container {container}", lambda client: client.start(container), about=container)

    async def kill(self, container: str, signal: str) -> None:
        """See `Engine.kill`. Docker itself resumes a paused container once the signal is sent."""

        def call(client: APIClient) -> None:
            try:
                client.kill(container, signal)
            except APIError as exc:
                if exc.status_code != 409:  # 409: it does not run
                    raise

        await self._clients.run(f"send {signal} to container {container}", call, about=container)

    async def remove(self, container: str) -> None:
        """See `Engine.remove`."""

        def call(client: APIClient) -> None:
            try:
                client.remove_container(container, force=True)
            except NotFound:
                return
            except APIError as exc:
                if exc.status_code != 409 or "already in progress" not in str(exc.explanation):
                    raise

        await self._clients.run(f"remove container {container}", call, about=container)

    async def remove_volume(self, volume: str) -> None:
        """See `Engine.remove_volume`."""

        def call(client: APIClient) -> None:
            if self._is_ours(_volume_labels(client, volume) or {}):
                try:
                    client.remove_volume(volume)
                except NotFound:
                    return

        await self._clients.run(f"remove volume {volume}", call, about=volume)

    async def logs(self, container: str, *, tail: int, until: datetime | None = None) -> list[str]:
        """See `Engine.logs`."""
        until_seconds = until.timestamp() if until else None

        def call(client: APIClient) -> bytes:
            return client.logs(container, tail=tail, until=until_seconds)

        action = f"read the log of container {container}"
        return log_lines(await self._clients.run(action, call, read=True, about=container))

    async def events(self) -> AsyncIterator[EngineEvent]:
        """See `Engine.events`."""
        stream = EventStream(self._clients.new_client, owner=self._owner, server=self._server)
        self._streams.add(stream)
        try:
            async for event in stream.read():
                yield event
        finally:
            self._streams.discard(stream)
            await stream.close()

    async def close(self) -> None:
        """See `Engine.close`."""
        await asyncio.gather(*(stream.close() for stream in self._streams))
        await self._clients.close()

    def _create(self, client: APIClient, spec: ContainerSpec, *, quota_bytes: int | None = None) -> str:
        config = container_config(spec, owner=self._owner, server=self._server, quota_bytes=quota_bytes)
        return str(client.create_container_from_config(config, spec.name)["Id"])  # type: ignore[no-untyped-call]

    def _is_ours(self, labels: Mapping[str, str]) -> bool:
        return labels.get(Label.OWNER) == self._owner and labels.get(Label.SERVER) == self._server


def _volume_labels(client: APIClient, volume: str) -> dict[str, str] | None:
    try:
        return client.inspect_volume(volume)["Labels"] or {}
    except NotFound:
        return None
