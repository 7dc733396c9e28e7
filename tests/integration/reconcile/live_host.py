"""A machine in memory whose bots really listen: every running container has a loopback address of its own, and there,
on the runtime's port, something that speaks `bot_runtime/contract/`.
"""

import asyncio
import itertools
import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from ipaddress import IPv4Address
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from bot_runtime import contract
from bot_runtime.contract import ConnectionState
from orchestrator.engine.memory.host import MemoryContainer, MemoryHost

_boots = itertools.count(1)


@dataclass
class Spool:
    """The events on one volume."""

    id: str
    events: list[contract.Event] = field(default_factory=list)
    acked: int = 0
    as_sent: dict[int, Any] = field(default_factory=dict)
    """What `GET /events` has in place of the events with these numbers."""
    filled: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, kind: str, data: dict[str, Any]) -> None:
        """One more event."""
        self.events.append(contract.Event(seq=len(self.events) + 1, type=kind, data=data, timestamp=datetime.now(UTC)))
        self.filled.set()

    async def page(self, spool: str | None, after: int, limit: int, wait: float) -> contract.EventPage:
        """What `GET /events` answers."""
        if spool == self.id:
            self.acked = max(self.acked, after)
        else:
            after = 0
        self.filled.clear()
        if len(self.events) <= after and spool == self.id:
            try:
                async with asyncio.timeout(wait):
                    await self.filled.wait()
            except TimeoutError:
                pass
        items = self.events[after : after + limit]
        return contract.EventPage(spool_id=self.id, items=items, next=items[-1].seq if items else after)


class Runtime:
    """One run of one bot's container."""

    def __init__(self, address: str, bot_id: str, token: str, spool: Spool) -> None:
        self.connection: str = ConnectionState.ONLINE
        self.health_fields: dict[str, Any] = {}
        """What its health has in addition to, or in place of, what this version's has."""
        self.message_id: str | None = None
        """What its answers to messages have as id, in place of one that WhatsApp would give."""
        self.probes = 0
        self.silent = False
        """Takes connections and never answers."""
        self.phone_number: str | None = "491700000001"
        self.heartbeat = datetime.now(UTC)
        self.spool = spool
        self.config: contract.RuntimeConfig | None = None
        self.secrets: list[contract.Secrets] = []
        self.sent: list[contract.SendRequest] = []
        self._bot_id = bot_id
        self._token = token
        self._boot = f"boot-{next(_boots)}"
        self._listener = socket.create_server((address, contract.PORT))
        self._listener.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._listener, self._accept)
        self.connections: set[asyncio.Task[None]] = set()
        """Tasks, one for each open connection."""
        self._accepted: set[socket.socket] = set()
        """Connections that their tasks have not taken over yet."""

    @property
    def config_generation(self) -> int:
        """Of the configuration that it was given, 0 before."""
        return 0 if self.config is None else self.config.generation

    def restart_in_place(self) -> None:
        """The process replaces itself: a new boot, which has forgotten its secrets."""
        self._boot = f"boot-{next(_boots)}"

    def end(self) -> None:
        """The process is gone: nothing listens, and every connection breaks."""
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for task in self.connections:
            task.cancel()
        for connection in self._accepted:
            connection.close()

    def _accept(self) -> None:
        # Not with `sock_accept`: cancelled at the wrong moment, it loses the connection without closing it.
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        connection.setblocking(False)
        self._accepted.add(connection)
        task = self._loop.create_task(self._talk(connection))
        self.connections.add(task)
        task.add_done_callback(self.connections.discard)

    async def _talk(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        self._accepted.discard(connection)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                request, *lines = head.decode().splitlines()
                headers = dict(line.lower().split(": ", 1) for line in lines if line)
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                if self.silent:
                    await asyncio.Event().wait()
                method, target, _ = request.split()
                authorized = headers.get("authorization") == f"bearer {self._token.lower()}"
                status, answer = await self._answer(method, target, body) if authorized else _UNAUTHORIZED
                content = b"" if answer is None else msgspec.json.encode(answer)
                writer.write(f"HTTP/1.1 {status} -\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(
        self, method: str, target: str, body: bytes
    ) -> tuple[int, msgspec.Struct | dict[str, Any] | None]:
        url = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        match method, url.path:
            case "GET", "/health":
                self.probes += 1
                return HTTPStatus.OK, {**msgspec.to_builtins(self._health()), **self.health_fields}
            case "GET", "/events":
                page = await self.spool.page(
                    query.get("spool"), int(query["after"]), int(query["limit"]), float(query["wait"])
                )
                sent = msgspec.to_builtins(page)
                sent["items"] = [self.spool.as_sent.get(item["seq"], item) for item in sent["items"]]
                return HTTPStatus.OK, sent
            case "PUT", "/config":
                config = msgspec.json.decode(body, type=contract.RuntimeConfig)
                if config.generation < self.config_generation:
                    return HTTPStatus.CONFLICT, contract.Error(code="stale-generation", message="it is older")
                self.config = config
                return HTTPStatus.OK, config
            case "PUT", "/secrets":
                self.secrets.append(msgspec.json.decode(body, type=contract.Secrets))
                return HTTPStatus.NO_CONTENT, None
            case "POST", "/messages":
                request = msgspec.json.decode(body, type=contract.SendRequest)
                self.sent.append(request)
                result = contract.SendResult(
                    message_id=self.message_id or f"W-{request.client_id}", timestamp=self.heartbeat, repeated=False
                )
                return HTTPStatus.OK, result
        return HTTPStatus.NOT_FOUND, contract.Error(code="not-found", message=target)

    def _health(self) -> contract.Health:
        return contract.Health(
            bot_id=self._bot_id,
            server_name="server1",
            boot_id=self._boot,
            started_at=self.heartbeat,
            connection=self.connection,
            since=self.heartbeat,
            phone_number=self.phone_number,
            push_name=None,
            last_heartbeat=self.heartbeat,
            last_activity=None,
            connection_attempts=0,
            last_error=None,
            events=contract.EventCursor(
                spool_id=self.spool.id, last_seq=len(self.spool.events), acked_seq=self.spool.acked
            ),
            event_history_size=0,
            creds_updated_at=None,
            config_generation=self.config_generation,
            memory_bytes=1,
            versions=contract.Versions(runtime="0", neonize="0", python="3"),
        )


_UNAUTHORIZED = (int(HTTPStatus.UNAUTHORIZED), contract.Error(code="unauthorized", message="wrong token"))


class LiveHost(MemoryHost):
    """A `MemoryHost` whose containers listen while they run. `close` ends them all."""

    def __init__(self) -> None:
        super().__init__()
        self.runtimes: dict[str, Runtime] = {}
        """Of the containers that run, by container name."""
        self.health_fields: dict[str, Any] = {}
        """`Runtime.health_fields` of containers that start."""
        self._spools: dict[str, tuple[dict[str, str], Spool]] = {}
        self._addresses = _loopback_addresses()
        self._spool_ids = itertools.count(1)

    def run(self, container: MemoryContainer) -> None:
        super().run(container)
        if container.spec is None:
            return
        env = container.spec.env
        while container.name not in self.runtimes:
            container.address = next(self._addresses)
            try:
                self.runtimes[container.name] = Runtime(
                    container.address, env["BOTDOCK_BOT_ID"], env["BOTDOCK_TOKEN"], self.spool(container.spec.volume)
                )
            except OSError:
                continue  # taken by another run of the tests on this machine
            self.runtimes[container.name].health_fields = self.health_fields

    def crash(self, name: str, exit_code: int, *, oom: bool = False) -> None:
        super().crash(name, exit_code, oom=oom)
        runtime = self.runtimes.pop(name, None)
        if runtime is not None:
            runtime.end()

    def spool(self, volume: str) -> Spool:
        """The spool on a volume; a new volume has a new one."""
        labels = self.volumes[volume]
        kept = self._spools.get(volume)
        if kept is None or kept[0] is not labels:
            kept = self._spools[volume] = (labels, Spool(f"spool-{next(self._spool_ids)}"))
        return kept[1]

    async def close(self) -> None:
        """End all processes."""
        for runtime in self.runtimes.values():
            runtime.end()
        connections = [task for runtime in self.runtimes.values() for task in runtime.connections]
        await asyncio.gather(*connections, return_exceptions=True)


def _loopback_addresses() -> Iterator[str]:
    first = IPv4Address("127.0.0.2") + random.randrange(1 << 22)
    return (str(first + number) for number in itertools.count())
