"""The demo's two clients: of Botdock's API, as an operator's program would write it, and of the simulated phones."""

import time
from base64 import b64encode
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from tests.demo.terminal import Failure

T = TypeVar("T")

POLL_SECONDS = 0.2


class NotAnswered(Failure):
    """Nobody answered, or the answer broke off."""


def wait_for(what: str, ask: Callable[[], T | None], *, seconds: float, otherwise: Callable[[], str]) -> T:
    """What `ask` returns once it is not None. Raises Failure at the deadline, ending in what `otherwise` advises."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if (answer := ask()) is not None:
                return answer
        except NotAnswered:
            pass  # not up yet
        if time.monotonic() >= deadline:
            raise Failure(f"{what}: not within {seconds:.0f} s; {otherwise()}")
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
            raise Failure(f"{method} {path} was answered with {response.status_code}: {response.text.strip()}")
        return response.json()

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **options)
        except httpx.TransportError as exc:
            raise NotAnswered(f"{self._http.base_url} broke off {method} {path} ({exc}); run the same again") from exc


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
        """Make and approve the bot unless it is there; whether it had to be made."""
        made = self._call("GET", f"/api/bots/{bot_id}").status_code == httpx.codes.NOT_FOUND
        if made:
            self._ask("POST", "/api/bots", json={"id": bot_id, "name": name, "phoneNumber": phone})
        self._ask("POST", f"/api/bots/{bot_id}/approve")
        self._ask("POST", f"/api/bots/{bot_id}/start")
        return made

    def phase(self, bot_id: str) -> tuple[str, str]:
        """The bot's phase, and the reason in words."""
        status = self._ask("GET", f"/api/bots/{bot_id}")["status"]
        return status["phase"], " ".join(part for part in (status["reason"], status["message"]) if part)

    def container(self, bot_id: str) -> str:
        """The id of the bot's container, "" for none."""
        return self._ask("GET", f"/api/bots/{bot_id}")["status"]["containerId"] or ""

    def qr(self, bot_id: str, form: str) -> str | None:
        """The QR code as `raw` or `terminal`; None while the bot shows none."""
        response = self._call("GET", f"/api/bots/{bot_id}/qr", params={"format": form})
        if response.status_code in {httpx.codes.CONFLICT, httpx.codes.SERVICE_UNAVAILABLE}:
            return None
        if response.is_error:
            raise Failure(f"bot {bot_id} has no QR code: {response.text.strip()}")
        return response.text

    def custom_command(self, bot_id: str, name: str, response: str) -> None:
        """Give the bot a command of its own, unless it has it."""
        present = self._ask("GET", "/api/commands", params={"botId": bot_id})["items"]
        if all(command["name"] != name for command in present):
            self._ask("POST", "/api/commands", json={"name": name, "botId": bot_id, "response": response})

    def send_image(self, bot_id: str, to: str, png: bytes, caption: str) -> str:
        """Have the bot send a picture; the state it comes to within 30 seconds."""
        content = {"type": "image", "mimetype": "image/png", "caption": caption, "data": b64encode(png).decode()}
        sent = self._ask("POST", f"/api/bots/{bot_id}/messages?wait=30", json={"to": to, "content": content})
        return str(sent["state"])

    def last_words(self, bot_id: str) -> str:
        """Why a bot is not online, for a last line."""
        phase, why = self.phase(bot_id)
        return f"bot {bot_id} is {phase} {why}".rstrip() + f"; see 'make ps' and GET /api/bots/{bot_id}/logs"


class Phones(_Client):
    """The simulator's control API: phones that scan, and people who write."""

    def healthy(self) -> bool | None:
        """True once the simulator answers."""
        return self._call("GET", "/health").is_success or None

    def scan(self, phone: str, qr: str) -> None:
        """The phone scans a QR code; returns when the bot is linked."""
        self._ask("POST", f"/accounts/{phone}/scan", json={"qr": qr})

    def contact(self, phone: str, name: str) -> None:
        """Somebody who writes to bots."""
        self._ask("POST", "/contacts", json={"phone": phone, "name": name})

    def inbox_end(self, phone: str) -> int:
        """The index after which new messages of a contact come."""
        return int(self._ask("GET", f"/contacts/{phone}/inbox", params={"limit": 5000})["next"])

    def write(self, phone: str, to: str, text: str) -> None:
        """A contact writes to somebody."""
        self._ask("POST", f"/contacts/{phone}/messages", json={"to": to, "text": text})

    def group(self, creator: str, subject: str, members: list[str]) -> str:
        """A group of this person with this subject, made unless it is there; its id."""
        for group in self._ask("GET", "/groups")["items"]:
            if (group["creator"], group["subject"]) == (creator, subject):
                return str(group["id"])
        made = self._ask("POST", "/groups", json={"creator": creator, "subject": subject, "members": members})
        return str(made["id"])

    def arrived(
        self, phone: str, *, sender: str, after: int, kind: str = "text", chat: str | None = None
    ) -> dict[str, Any] | None:
        """The first message of this sender and kind after the index, in a group or not; None while there is none."""
        inbox = self._ask("GET", f"/contacts/{phone}/inbox", params={"after": after, "wait": 2})
        wanted = (sender, kind, chat)
        return next((i for i in inbox["items"] if (i["from"], i["kind"], i["chat"]) == wanted), None)
