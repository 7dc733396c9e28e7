"""The demo's HTTP clients: for Botdock's API, as an operator's program would use it, and for the simulated phones."""

import time
from base64 import b64encode
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from tests.demo.terminal import DemoError

T = TypeVar("T")

POLL_SECONDS = 0.2


class UnreachableError(DemoError):
    """The server is unreachable, or the connection broke."""


def wait_for(what: str, ask: Callable[[], T | None], *, seconds: float, otherwise: Callable[[], str]) -> T:
    """Poll `ask` until it returns something; raises DemoError at the deadline, with the advice of `otherwise`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if (answer := ask()) is not None:
                return answer
        except UnreachableError:
            pass  # not started yet
        if time.monotonic() >= deadline:
            raise DemoError(f"timed out after {seconds:.0f} s waiting for {what}; {otherwise()}")
        time.sleep(POLL_SECONDS)


class _Client:
    """JSON over HTTP on this machine."""

    def __init__(self, url: str, **headers: str) -> None:
        self._http = httpx.Client(base_url=url, headers=headers, timeout=40, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        response = self._call(method, path, **options)
        if response.is_error:
            raise DemoError(f"{method} {path} returned {response.status_code}: {response.text.strip()}")
        return response.json()

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **options)
        except httpx.TransportError as exc:
            raise UnreachableError(f"{method} {self._http.base_url}{path} failed ({exc}); run it again") from exc


class Botdock(_Client):
    """The API with an admin key."""

    def __init__(self, url: str, key: str) -> None:
        super().__init__(url, **{"X-Api-Key": key})

    def ready(self) -> bool | None:
        """True once the API answers from a migrated database."""
        return self._call("GET", "/readyz").is_success or None

    def key_is_valid(self) -> bool:
        """Whether the API accepts our key."""
        return self._call("GET", "/api/servers").is_success

    def approved_bot(self, bot_id: str, *, name: str, phone: str) -> bool:
        """Create and approve the bot unless it exists; returns whether it was created."""
        missing = self._call("GET", f"/api/bots/{bot_id}").status_code == httpx.codes.NOT_FOUND
        if missing:
            self._ask("POST", "/api/bots", json={"id": bot_id, "name": name, "phoneNumber": phone})
        self._ask("POST", f"/api/bots/{bot_id}/approve")
        self._ask("POST", f"/api/bots/{bot_id}/start")
        return missing

    def phase(self, bot_id: str) -> tuple[str, str]:
        """The bot's phase and its reason as text."""
        status = self._ask("GET", f"/api/bots/{bot_id}")["status"]
        return status["phase"], " ".join(part for part in (status["reason"], status["message"]) if part)

    def container(self, bot_id: str) -> str:
        """The id of the bot's container, "" if it has none."""
        return self._ask("GET", f"/api/bots/{bot_id}")["status"]["containerId"] or ""

    def qr(self, bot_id: str, form: str) -> str | None:
        """The QR code as `raw` or `terminal`; None if the bot has none yet."""
        response = self._call("GET", f"/api/bots/{bot_id}/qr", params={"format": form})
        if response.status_code in {httpx.codes.CONFLICT, httpx.codes.SERVICE_UNAVAILABLE}:
            return None
        if response.is_error:
            raise DemoError(f"bot {bot_id} has no QR code: {response.text.strip()}")
        return response.text

    def custom_command(self, bot_id: str, name: str, response: str) -> None:
        """Create a command for this bot, unless it exists."""
        present = self._ask("GET", "/api/commands", params={"botId": bot_id})["items"]
        if all(command["name"] != name for command in present):
            self._ask("POST", "/api/commands", json={"name": name, "botId": bot_id, "response": response})

    def send_image(self, bot_id: str, to: str, png: bytes, caption: str) -> str:
        """Send an image from the bot; returns the message's state after at most 30 seconds."""
        content = {"type": "image", "mimetype": "image/png", "caption": caption, "data": b64encode(png).decode()}
        sent = self._ask("POST", f"/api/bots/{bot_id}/messages?wait=30", json={"to": to, "content": content})
        return str(sent["state"])

    def diagnosis(self, bot_id: str) -> str:
        """Why a bot is not online."""
        phase, why = self.phase(bot_id)
        return f"bot {bot_id} is {phase} {why}".rstrip() + f"; see 'make ps' and GET /api/bots/{bot_id}/logs"


class Phones(_Client):
    """The simulator's control API: phones that scan QR codes, and contacts who write messages."""

    def healthy(self) -> bool | None:
        """True once the simulator answers."""
        return self._call("GET", "/health").is_success or None

    def scan(self, phone: str, qr: str) -> None:
        """Scan a QR code with the phone; returns when the bot is linked."""
        self._ask("POST", f"/accounts/{phone}/scan", json={"qr": qr})

    def contact(self, phone: str, name: str) -> None:
        """Create a contact, somebody who writes to bots."""
        self._ask("POST", "/contacts", json={"phone": phone, "name": name})

    def inbox_end(self, phone: str) -> int:
        """The index after which a contact's new messages start."""
        return int(self._ask("GET", f"/contacts/{phone}/inbox", params={"limit": 5000})["next"])

    def write(self, phone: str, to: str, text: str) -> None:
        """Send a message from a contact."""
        self._ask("POST", f"/contacts/{phone}/messages", json={"to": to, "text": text})

    def group(self, creator: str, subject: str, members: list[str]) -> str:
        """The id of the creator's group with this subject; created unless it exists."""
        for group in self._ask("GET", "/groups")["items"]:
            if (group["creator"], group["subject"]) == (creator, subject):
                return str(group["id"])
        created = self._ask("POST", "/groups", json={"creator": creator, "subject": subject, "members": members})
        return str(created["id"])

    def arrived(
        self, phone: str, *, sender: str, after: int, kind: str = "text", chat: str | None = None
    ) -> dict[str, Any] | None:
        """The first message from this sender, of this kind and chat, after the index; None if there is none yet."""
        inbox = self._ask("GET", f"/contacts/{phone}/inbox", params={"after": after, "wait": 2})
        expected = (sender, kind, chat)
        return next((i for i in inbox["items"] if (i["from"], i["kind"], i["chat"]) == expected), None)
