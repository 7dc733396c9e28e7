"""The two processes of these tests: the runtime and the simulated network."""

import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx

from bot_runtime.contract import Health
from bot_runtime.whatsapp.library import package_directory
from orchestrator.clients.bot_answers import read_answer, read_page
from tests.support.phones import NO_REUSE
from tests.support.processes import measured
from whatsapp_simulator import keys
from whatsapp_simulator.patch import patch_library

_T = TypeVar("_T")

TOKEN = "t0ken"
DEADLINE = 150.0
EXIT_DEADLINE = 20.0
"""Longer than the five seconds that a process takes at most, since tests share the machine with each other."""
QUICK = {"reconnectBaseDelaySeconds": 0.2, "heartbeatIntervalSeconds": 0.5}
"""A configuration without long intervals."""
_PHONES = itertools.count(491700000001)


def new_phone() -> str:
    """A phone number that no other test uses."""
    return str(next(_PHONES))


def patched_neonize(site: Path) -> None:
    """Copy the installed neonize to `site`, with the simulator's root key in its library."""
    source = package_directory()
    shutil.copytree(source, site / "neonize", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for library in source.glob("*.so"):
        patch_library(library, site / "neonize" / library.name, keys.noise_root().public)


def eventually(get: Callable[[], _T], accept: Callable[[_T], object], *, seconds: float = DEADLINE) -> _T:
    """Poll `get` until its value is accepted, and return it; fails with the last value after `seconds`."""
    deadline = time.monotonic() + seconds
    while not accept(value := get()):
        assert time.monotonic() < deadline, f"still {value}"
        time.sleep(0.02)
    return value


class Network:
    """The simulator's control API."""

    def __init__(self, control_port: int, proxy_port: int, ca: Path) -> None:
        self.proxy = f"http://127.0.0.1:{proxy_port}"
        self.ca = ca
        self._client = httpx.Client(
            base_url=f"http://127.0.0.1:{control_port}", timeout=30, trust_env=False, limits=NO_REUSE
        )

    def close(self) -> None:
        self._client.close()

    def post(self, path: str, **body: object) -> Any:
        answer = self._client.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def scan(self, phone: str, qr: str) -> None:
        self.post(f"/accounts/{phone}/scan", qr=qr)

    def fail(self, phone: str, kind: str, **options: object) -> None:
        self.post(f"/accounts/{phone}/failures", kind=kind, **options)

    def heal(self, phone: str) -> None:
        assert self._client.delete(f"/accounts/{phone}/failures").is_success

    def write(self, contact: str, to: str, text: str) -> None:
        self.post("/contacts", phone=contact)
        self.post(f"/contacts/{contact}/messages", to=to, text=text)

    def inbox(self, contact: str, wait: float = 0) -> list[str]:
        """The texts that a contact received."""
        return [item["text"] for item in self.items(contact, wait)]

    def items(self, contact: str, wait: float = 0) -> list[dict[str, Any]]:
        """The messages that a contact received, in full."""
        answer = self._client.get(f"/contacts/{contact}/inbox", params={"wait": wait})
        assert answer.is_success, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    def arrived(self, contact: str, count: int = 1) -> list[dict[str, Any]]:
        """The messages of a contact once there are `count`."""
        return eventually(lambda: self.items(contact), lambda items: len(items) >= count)

    def file(self, contact: str, message_id: str) -> bytes:
        """The decrypted file of a message that a contact received."""
        answer = self._client.get(f"/contacts/{contact}/inbox/{message_id}/media")
        assert answer.is_success, answer.text
        return answer.content

    def person(self, name: str) -> str:
        """Create a contact who writes to bots; returns the number."""
        phone = new_phone()
        self.post("/contacts", phone=phone, name=name)
        return phone

    def attach(self, contact: str, to: str, kind: str, data: bytes, **options: object) -> str:
        """Make a contact send a file; returns the id of the message."""
        encoded = base64.b64encode(data).decode()
        return str(self.post(f"/contacts/{contact}/media", to=to, kind=kind, data=encoded, **options)["id"])

    def group(self, creator: str, *members: str, **options: object) -> str:
        """Make a contact create a group; returns its id."""
        body = {"creator": creator, "members": members, "subject": "Friends", **options}
        return str(self.post("/groups", **body)["id"])

    def act(self, contact: str, what: str, **body: object) -> None:
        """Make a contact do something other than sending a message."""
        answer = self._client.post(f"/contacts/{contact}/{what}", json=body)
        assert answer.is_success, answer.text

    def receipt(self, contact: str, message_id: str, kind: str) -> None:
        """Make a contact read or play a message."""
        self.act(contact, "receipts", message=message_id, kind=kind)

    def receipts(self, contact: str) -> list[tuple[str, str]]:
        """(message, kind) of the receipts that a contact received."""
        items = self._client.get(f"/contacts/{contact}/receipts").json()["items"]
        return [(item["id"], item["kind"]) for item in items]

    def chat_states(self, contact: str) -> list[str]:
        """The typing notifications that a contact received."""
        return [item["state"] for item in self._client.get(f"/contacts/{contact}/chat-states").json()["items"]]

    def reactions(self, channel: str) -> list[tuple[str, str]]:
        """(account, emoji) for the first post of a channel."""
        posts = self._client.get(f"/channels/{channel}").json()["posts"]
        return [(reaction["from"], reaction["emoji"]) for reaction in posts[0]["reactions"]]

    def change_group(self, group: str, **changes: object) -> None:
        """Change a group."""
        assert self._client.patch(f"/groups/{group}", json=changes).is_success

    def leave_group(self, group: str, phone: str) -> None:
        """Remove a member from a group."""
        assert self._client.delete(f"/groups/{group}/members/{phone}").is_success


def assert_within_limits(path: str, content: bytes, parameters: Mapping[str, Any]) -> None:
    """Assert that the orchestrator takes what a runtime answers."""
    match path:
        case "/health":
            read_answer(content, Health)
        case "/events":
            spool, after, limit = (parameters.get(name) for name in ("spool", "after", "limit"))
            page = read_page(content, spool=spool, after=int(after or 0), limit=int(limit or 100))
            assert page.violation == ""
            assert [event for event in page.items if "unreadable" in event.data] == []


class RuntimeProcess:
    """One runtime; by default all runtimes of a test use the same volume."""

    def __init__(
        self,
        folder: Path,
        site: Path,
        network: Network,
        number: int,
        *,
        volume: str = "auth",
        config: str = json.dumps(QUICK),
        **environ: str,
    ) -> None:
        self.directory = folder / volume / "server1" / "bot_bot-1"
        (folder / volume).mkdir(exist_ok=True)
        self.log = folder / f"runtime-{number}.log"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join((str(site), str(Path.cwd()))),
            "HTTPS_PROXY": network.proxy,
            "SSL_CERT_FILE": str(network.ca),
            "BOTDOCK_BOT_ID": "bot-1",
            "BOTDOCK_SERVER_NAME": "server1",
            "BOTDOCK_TOKEN": TOKEN,
            "BOTDOCK_AUTH_ROOT": str(folder / volume),
            "BOTDOCK_PORT": "0",
            "BOTDOCK_CONFIG": config,
            **measured(),
            **environ,
        }
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "bot_runtime"]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
        self._client: httpx.Client | None = None

    @property
    def client(self) -> httpx.Client:
        """A client of the endpoint; waits until it is listening."""
        if self._client is None:
            line = eventually(self._serving, bool)
            self._client = httpx.Client(
                base_url=f"http://127.0.0.1:{line.split()[-1]}",
                headers={"Authorization": f"Bearer {TOKEN}"},
                timeout=70,
                trust_env=False,
            )
        return self._client

    def _serving(self) -> str:
        assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.log.read_text()}"
        return next((line for line in self.log.read_text().splitlines() if "serves on port" in line), "")

    def get(self, path: str, **parameters: Any) -> Any:
        answer = self.client.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        assert_within_limits(path, answer.content, parameters)
        return answer.json()

    def upload(self, client_id: str, data: bytes) -> httpx.Response:
        return self.client.put(f"/uploads/{client_id}", content=data)

    def request(self, client_id: str, to: str, content: object, **more: object) -> httpx.Response:
        """Request a message; `content` can be a plain text."""
        body = {"clientId": client_id, "to": to, "content": content, **more}
        if isinstance(content, str):
            body["content"] = {"type": "text", "text": content}
        return self.client.post("/messages", json=body)

    def send(self, client_id: str, to: str, content: object, **more: object) -> dict[str, Any]:
        """Send a message that is expected to succeed."""
        answer = self.request(client_id, to, content, **more)
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()
        return result

    def health(self) -> dict[str, Any]:
        health: dict[str, Any] = self.get("/health")
        return health

    def wait_for(self, state: str, *, seconds: float = DEADLINE) -> dict[str, Any]:
        return eventually(self.health, lambda health: health["connection"] == state, seconds=seconds)

    def qr(self) -> str:
        """The current QR code; waits until there is one."""
        answer = eventually(lambda: self.client.get("/qr"), lambda answer: answer.status_code == 200)
        return str(answer.json()["code"])

    def events(self, *types: str) -> list[dict[str, Any]]:
        """All unacknowledged events, or only those of `types`."""
        items = self.get("/events", limit=500)["items"]
        return [item for item in items if not types or item["type"] in types]

    def wait_for_event(self, event_type: str) -> dict[str, Any]:
        return eventually(lambda: self.events(event_type), bool)[0]

    def group_reports(self, group: str) -> list[dict[str, Any]]:
        """What the bot has reported of a group."""
        reports = [event["data"] for event in self.events("group-update")]
        return [report for report in reports if report.get("group", {}).get("id") == group]

    def wait_for_group(self, group: str) -> dict[str, Any]:
        """The first report of a group; waits for it."""
        return eventually(lambda: self.group_reports(group), bool)[0]

    def pair(self, network: Network, phone: str) -> None:
        """Scan the QR code and wait until the bot is online."""
        network.scan(phone, self.qr())
        self.wait_for("online")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(EXIT_DEADLINE)

    def stop(self) -> int:
        """Send SIGTERM; returns the exit code. Fails if the process does not end in time."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(EXIT_DEADLINE)

    def discard(self) -> None:
        if self._client is not None:
            self._client.close()
        if self.process.poll() is None:
            # With SIGTERM if possible: a killed process loses its coverage data.
            self.process.terminate()
            try:
                self.process.wait(EXIT_DEADLINE)
            except subprocess.TimeoutExpired:
                self.kill()


Start = Callable[..., RuntimeProcess]
"""Starts a runtime with options of `RuntimeProcess`."""
