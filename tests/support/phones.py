"""The phones of the simulated network, controlled by synchronous tests (`whatsapp_simulator`'s control API)."""

import base64
from collections.abc import Callable
from typing import Any

import httpx

from tests.support.eventually import DEADLINE_SECONDS, eventually

NO_REUSE = httpx.Limits(max_keepalive_connections=0)
"""A server closes a connection that was idle for some seconds; a request sent at that moment would fail."""


class Phones:
    """Accounts that scan codes and contacts that write; see the simulator's README."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=60, trust_env=False, limits=NO_REUSE)
        self._known: set[str] = set()

    def move(self, url: str) -> None:
        """Use another URL from now on."""
        self.url = url
        self._http.base_url = httpx.URL(url)

    def there(self) -> bool:
        """Whether the simulator answers."""
        try:
            return self._http.get("/health", timeout=2).is_success
        except httpx.HTTPError:
            return False

    def scan(self, phone: str, qr: str) -> None:
        """The phone scans the QR text; returns when it is linked."""
        self.post(f"/accounts/{phone}/scan", {"qr": qr})

    def enter_code(self, phone: str, code: str) -> None:
        """The phone's owner enters a pairing code."""
        self.post(f"/accounts/{phone}/enter-code", {"code": code})

    def connected(self, phone: str) -> bool:
        """Whether a linked device of the phone is connected."""
        response = self._http.get(f"/accounts/{phone}")
        return response.status_code == 200 and any(device["connected"] for device in response.json()["devices"])

    def fail(self, phone: str, kind: str, **more: Any) -> None:
        """Start a failure of an account."""
        self.post(f"/accounts/{phone}/failures", {"kind": kind, **more})

    def heal(self, phone: str) -> None:
        """End an account's failure."""
        self._http.delete(f"/accounts/{phone}/failures").raise_for_status()

    def ask(self, contact: str, bot: str, text: str, *, deadline: float = DEADLINE_SECONDS) -> str:
        """A contact writes to a bot; the bot's next text to that contact."""
        self.post("/contacts", {"phone": contact})
        after = self._http.get(f"/contacts/{contact}/inbox").raise_for_status().json()["next"]
        self.post(f"/contacts/{contact}/messages", {"to": bot, "text": text})

        def answers() -> list[str]:
            inbox = self._http.get(f"/contacts/{contact}/inbox", params={"after": after, "wait": 1})
            return [item["text"] for item in inbox.raise_for_status().json()["items"] if item["from"] == bot]

        return eventually(answers, deadline=deadline, what=f"an answer of {bot}")[0]

    def write(self, contact: str, bot: str, text: str) -> str:
        """A contact writes to a bot; the message's id."""
        if contact not in self._known:
            self.post("/contacts", {"phone": contact})
            self._known.add(contact)
        return str(self.post(f"/contacts/{contact}/messages", {"to": bot, "text": text})["id"])

    def attach(self, contact: str, to: str, kind: str, data: bytes, **more: Any) -> str:
        """A contact sends a file; the message's id."""
        body = {"to": to, "kind": kind, "data": base64.b64encode(data).decode(), **more}
        return str(self.post(f"/contacts/{contact}/media", body)["id"])

    def say(self, contact: str, what: str, **body: Any) -> str:
        """A contact sends anything else (`reactions`, `revocations`, `redeliveries`, …); the message's id."""
        return str(self.post(f"/contacts/{contact}/{what}", body)["id"])

    def act(self, contact: str, what: str, **body: Any) -> None:
        """A contact performs an action that is not a message (`receipts`, `typing`, …)."""
        self.post(f"/contacts/{contact}/{what}", body)

    def group(self, creator: str, *members: str, subject: str = "Choir") -> str:
        """A contact creates a group; its id."""
        return str(self.post("/groups", {"creator": creator, "subject": subject, "members": members})["id"])

    def channel(self, *followers: str) -> str:
        """Create a channel with followers; its id."""
        return str(self.post("/channels", {"name": "News", "followers": followers})["id"])

    def get(self, path: str) -> Any:
        """A GET call of the control API; its JSON."""
        return self._http.get(path).raise_for_status().json()

    def change(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        """A call of the control API that changes or removes something."""
        answer = self._http.request(method, path, json=body)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"

    def file(self, contact: str, message: str) -> bytes:
        """The decrypted file of a message that a contact received."""
        return self._http.get(f"/contacts/{contact}/inbox/{message}/media").raise_for_status().content

    def arrived(
        self, contact: str, until: Callable[[dict[str, Any]], object], *, deadline: float = DEADLINE_SECONDS
    ) -> dict[str, Any]:
        """Wait for a message in a contact's inbox that satisfies a condition."""

        def found() -> list[dict[str, Any]]:
            return [item for item in self.inbox(contact) if until(item)]

        return eventually(found, deadline=deadline, what=f"a message to {contact}")[0]

    def receipts(self, contact: str) -> list[dict[str, Any]]:
        """The receipts for a contact's messages."""
        found = self._http.get(f"/contacts/{contact}/receipts").raise_for_status()
        items: list[dict[str, Any]] = found.json()["items"]
        return items

    def inbox(self, contact: str) -> list[dict[str, Any]]:
        """All messages that a contact received."""
        items: list[dict[str, Any]] = self._http.get(f"/contacts/{contact}/inbox").raise_for_status().json()["items"]
        return items

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """A POST call of the control API; its JSON."""
        response = self._http.post(path, json=body)
        assert response.is_success, f"{path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
