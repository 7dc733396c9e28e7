"""A complete fleet: a database, a simulated WhatsApp, api and controller processes, and real containers.

The processes run on the host from this checkout, the bots in the images built by `make images`. Each fleet has a unique
server name, so that several fleets can share an engine; `close` removes everything that belongs to it.
"""

import json
import os
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import docker
import httpx
import psycopg
from docker.models.containers import Container

from tests.support.eventually import DEADLINE_SECONDS, eventually
from tests.support.names import resource_name
from tests.support.own_engine import OwnEngine
from tests.support.phones import NO_REUSE, Phones
from tests.support.processes import ROOT, ServiceProcess, free_port

TAG = os.environ.get("BOTDOCK_TEST_TAG", "dev")
SIMULATOR_IMAGE = f"botdock/simulator:{TAG}"
BOT_IMAGE = f"botdock/bot-simulated:{TAG}"
CONTROL_PORT = 8090
PROXY_PORT = 8443
BOT_NETWORKS = "10.213.0.0/16"
"""Where the services of tests listen: at this machine's addresses in the networks of the bots."""
SERVE = [
    *("serve", "--proxy-port", str(PROXY_PORT), "--control-port", str(CONTROL_PORT)),
    *("--tokens", "/app/tokens.json"),
]
"""The command of the simulator image."""

QUICK = {
    "LEASE_SECONDS": "6",
    "PROBE_INTERVAL": "1",
    "PROBE_TIMEOUT": "2",
    "PROBE_FAILURE_THRESHOLD": "2",
    "RESYNC_INTERVAL": "3",
    "STARTUP_TIMEOUT": "30",
    "BOTCOUNT": "100",
}
"""Settings with which failures are detected fast enough for tests."""


class Fleet:
    """One server's bots. Phones have the numbers 4917…, one per bot (`phone`)."""

    def __init__(
        self,
        *,
        database_url: str,
        admin_key: str,
        logs: Path,
        settings: Mapping[str, str] = QUICK,
        engine: OwnEngine | None = None,
        rate_limit: int = 30,
        lasting_simulator: bool = False,
        server: str | None = None,
    ) -> None:
        """Starts the simulator; `start_controller` and `start_api` start the rest. The name of the server is generated.

        A lasting simulator persists its state, so that it can be restarted.

        With a separate engine all processes run in that engine's network namespace, including the simulator, which has
        to outlive the engine. Otherwise the simulator is a container on the shared engine.
        """
        self.server = server or f"t{uuid.uuid4().hex[:8]}"
        self.database_url = database_url if engine is None else engine.reachable(database_url)
        self.docker = docker.from_env() if engine is None else engine.client()
        self._logs = logs
        self._prefix = [] if engine is None else engine.prefix
        self._address = "127.0.0.1" if engine is None else engine.address
        self._processes: list[ServiceProcess] = []
        self.controllers: list[ServiceProcess] = []
        """All controllers that were started, in that order."""
        self.apis: list[ServiceProcess] = []
        self._api_port = 0
        self._settings = {
            **settings,
            "DATABASE_URL": self.database_url,
            "SERVER_NAME": self.server,
            "STACK": self.server,
            "WHATSAPP_RATE_LIMIT_MAX": str(rate_limit),
            "BOT_IMAGE": BOT_IMAGE,
            "BOT_HTTPS_PROXY": f"http://{'simulator' if engine is None else engine.address}:{PROXY_PORT}",
            "BOT_ALLOWED_HOSTS": BOT_NETWORKS,
            "API_HOST": self._address,
            "CONTROLLER_HOST": self._address,
            **({} if engine is None else {"DOCKER_HOST": engine.host}),
        }
        self._api = httpx.Client(headers={"X-Api-Key": admin_key}, timeout=40, trust_env=False, limits=NO_REUSE)
        self.phones = Phones(
            self._simulator_container(lasting=lasting_simulator) if engine is None else self._simulator_process()
        )
        eventually(self.phones.there, what="the simulator")
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("INSERT INTO servers (name, max_bots) VALUES (%s, 200)", [self.server])

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Processes

    def start(self) -> None:
        """Start one controller and the api concurrently."""
        controller = self.start_controller(wait=False)
        self.start_api()
        controller.wait_ready()

    def start_controller(self, *, wait: bool = True, **settings: str) -> ServiceProcess:
        """Start a controller of this server; there may be several."""
        port = free_port()
        process = self._start("controller", port, {"CONTROLLER_PORT": str(port), **settings}, wait=wait)
        self.controllers.append(process)
        return process

    def start_api(self) -> ServiceProcess:
        """Start the api; `request` uses the last one started."""
        return self._start_api(free_port(), wait=True)

    def use_api_of(self, other: "Fleet") -> None:
        """Call the api of another fleet on the same database."""
        self._api.base_url = httpx.URL(other.apis[-1].url)

    def start_api_again(self) -> ServiceProcess:
        """Start the api on the port of the last one, without waiting for it."""
        return self._start_api(self._api_port, wait=False)

    # Bots, by REST

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A call to the REST API with the admin key."""
        return self._api.request(method, path, **options)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """A call that must succeed; its JSON."""
        response = self.request(method, path, **({} if body is None else {"json": body}))
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    def create(self, bot: str, *, approve: bool = True, **more: Any) -> None:
        """Create a bot and approve it."""
        self.call("POST", "/api/bots", {"id": bot, "name": f"Bot {bot}", "serverName": self.server, **more})
        if approve:
            self.call("POST", f"/api/bots/{bot}/approve")

    def status(self, bot: str) -> dict[str, Any]:
        """The bot's status in the API."""
        status: dict[str, Any] = self.call("GET", f"/api/bots/{bot}")["status"]
        return status

    def wait_phase(self, bot: str, *phases: str, deadline: float = DEADLINE_SECONDS) -> dict[str, Any]:
        """Wait until the bot is in one of the phases; its status."""
        try:
            return eventually(
                lambda: self.status(bot),
                lambda status: status["phase"] in phases,
                deadline=deadline,
                what=f"{bot} to be {' or '.join(phases)}",
            )
        except TimeoutError as exc:
            raise TimeoutError(f"{exc}\n{self.explain(bot)}") from None

    def wait_status(
        self,
        bot: str,
        until: Callable[[dict[str, Any]], object],
        *,
        deadline: float = DEADLINE_SECONDS,
        what: str = "the status",
    ) -> dict[str, Any]:
        """Wait until the bot's status satisfies a condition."""
        try:
            return eventually(lambda: self.status(bot), until, deadline=deadline, what=f"{bot}: {what}")
        except TimeoutError as exc:
            raise TimeoutError(f"{exc}\n{self.explain(bot)}") from None

    def pair(self, bot: str, phone: str) -> dict[str, Any]:
        """Scan the bot's QR with a phone and wait until it is online; its status."""
        path = f"/api/bots/{bot}/qr?format=json&wait=30"
        answer = eventually(
            lambda: self.request("GET", path), lambda answer: answer.is_success, what=f"{bot}: a QR code"
        )
        self.phones.scan(phone, answer.json()["code"])
        return self.wait_phase(bot, "online")

    def online(self, bot: str, phone: str) -> dict[str, Any]:
        """Create, approve and pair a bot."""
        self.create(bot)
        return self.pair(bot, phone)

    def events(self, bot: str, kind: str | None = None) -> list[dict[str, Any]]:
        """The bot's events, oldest first."""
        items: list[dict[str, Any]] = self.call("GET", f"/api/bots/{bot}/events?after=0&limit=200")["items"]
        return [item for item in items if kind in (None, item["type"])]

    def delete(self, bot: str) -> None:
        """Delete a bot and wait for its removal."""
        self.call("DELETE", f"/api/bots/{bot}")
        eventually(lambda: self.request("GET", f"/api/bots/{bot}").status_code, lambda code: code == 404)

    # Containers, by the engine

    def name(self, bot: str) -> str:
        """The name of the bot's container and volume."""
        return resource_name(self.server, bot)

    def container(self, bot: str) -> Container:
        """The bot's container. Raises docker.errors.NotFound if there is none."""
        return self.docker.containers.get(self.name(bot))

    def containers(self) -> list[str]:
        """The names of all bot containers of this fleet, running or not."""
        labels = [f"botdock.server={self.server}", "botdock.bot-id"]
        found = self.docker.api.containers(all=True, filters={"label": labels})
        return sorted(item["Names"][0].removeprefix("/") for item in found)

    def started_at(self, bot: str) -> str:
        """When the bot's container was last started, as reported by the engine."""
        return str(self.container(bot).attrs["State"]["StartedAt"])

    def volume_exists(self, bot: str) -> bool:
        """Whether the bot's volume exists."""
        return bool(self.docker.volumes.list(filters={"name": f"^{self.name(bot)}$"}))

    def explain(self, bot: str) -> str:
        """Details for a failed test: events, and the ends of the logs."""
        events = [f"{e['timestamp']} {e['type']} {json.dumps(e['data'])[:200]}" for e in self.events(bot)[-12:]]
        try:
            output = self.container(bot).logs(tail=12).decode(errors="replace")
        except docker.errors.APIError as exc:
            output = str(exc)
        processes = "\n".join(process.tail(12) for process in self._processes[-2:])
        return "\n".join(["events:", *events, "bot:", output, "processes:", processes])

    def close(self) -> None:
        """Kill the processes and remove everything of this server."""
        for process in self._processes:
            process.kill()
        self.phones.close()
        self._api.close()
        remove_server(self.docker, self.server)
        self.docker.close()

    def _start(self, command: str, port: int, environment: Mapping[str, str], *, wait: bool) -> ServiceProcess:
        process = ServiceProcess(
            ["orchestrator", command],
            url=f"http://{self._address}:{port}",
            ready_path="/readyz",
            environment={**self._settings, **environment},
            log=self._logs / f"{command}-{port}.log",
            prefix=self._prefix,
        )
        self._processes.append(process)
        if wait:
            process.wait_ready()
        return process

    def _start_api(self, port: int, *, wait: bool) -> ServiceProcess:
        self._api_port = port
        process = self._start("api", port, {"API_PORT": str(port)}, wait=wait)
        self._api.base_url = httpx.URL(process.url)
        self.apis.append(process)
        return process

    def restart_simulator(self) -> None:
        """Restart the simulator's container. Its state is lost unless it is a lasting one."""
        container = self.docker.containers.get(f"botdock-{self.server}-simulator")
        container.restart()
        self.phones.move(_control_url(container))
        eventually(self.phones.there, what="the simulator")

    def _simulator_container(self, *, lasting: bool) -> str:
        container = self.docker.containers.run(
            SIMULATOR_IMAGE,
            [*SERVE, "--state-file", "/data/state.db"] if lasting else SERVE,
            name=f"botdock-{self.server}-simulator",
            labels={
                "botdock.component": "simulator",
                "botdock.server": self.server,
                "com.docker.compose.project": self.server,
            },
            detach=True,
        )
        return _control_url(container)

    def _simulator_process(self) -> str:
        url = f"http://{self._address}:{CONTROL_PORT}"
        process = ServiceProcess(
            ["whatsapp_simulator", "serve", "--control-port", str(CONTROL_PORT), "--proxy-port", str(PROXY_PORT)],
            url=url,
            ready_path="/health",
            environment={"PYTHONPATH": str(ROOT / "tests" / "simulator")},
            log=self._logs / "simulator.log",
            prefix=self._prefix,
        )
        self._processes.append(process)
        return url


def _control_url(simulator: Container) -> str:
    simulator.reload()
    networks = simulator.attrs["NetworkSettings"]["Networks"]
    return f"http://{networks['bridge']['IPAddress']}:{CONTROL_PORT}"


def remove_server(client: docker.DockerClient, server: str) -> None:
    """Remove all containers, volumes and networks of a server."""
    label: dict[str, str | list[str] | bool] = {"label": f"botdock.server={server}"}
    for container in client.containers.list(all=True, filters=label, sparse=True, ignore_removed=True):
        try:
            container.remove(force=True)
        except docker.errors.NotFound:
            pass
    for volume in client.volumes.list(filters=label):
        volume.remove(force=True)
    for network in client.networks.list(filters=label):
        network.remove()
