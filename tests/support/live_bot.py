"""An online bot and the ways to talk to it: by REST, by its own endpoint, and as contacts of its phone."""

import itertools
from typing import Any

import httpx
import psycopg

from bot_runtime.contract import PORT
from tests.support.eventually import DEADLINE_SECONDS, eventually
from tests.support.fleet import Fleet

_CONTACTS = itertools.count(491511200001)


class LiveBot:
    """A paired bot of a fleet."""

    def __init__(self, fleet: Fleet, bot_id: str, phone: str) -> None:
        """Create, approve and pair it."""
        self.fleet = fleet
        self.id = bot_id
        self.phone = phone
        self.path = f"/api/bots/{bot_id}"
        fleet.online(bot_id, phone)
        self.started_at = fleet.started_at(bot_id)

    def contact(self, name: str = "Ada") -> str:
        """Create a new contact; its number."""
        number = str(next(_CONTACTS))
        self.fleet.phones.post("/contacts", {"phone": number, "name": name})
        return number

    def delete(self) -> None:
        """Delete it and wait for its removal."""
        self.fleet.delete(self.id)

    # By REST

    def configure(self, **settings: Any) -> None:
        """Change settings and wait until the bot has received them."""
        self.fleet.call("PATCH", self.path, {"settings": settings})
        self.settled()

    def command(self, name: str, **more: Any) -> str:
        """Create a command (by default for this bot) and wait until the bot has received it; the command's id."""
        owner = {} if more.keys() & {"serverName", "everybody"} else {"botId": self.id}
        more.pop("everybody", None)
        created = self.fleet.call("POST", "/api/commands", {"name": name, **owner, **more})
        self.settled()
        return str(created["id"])

    def settled(self) -> None:
        """Wait until the bot has received the configuration that is stored in Postgres."""

        def behind() -> int:
            desired = self.row("SELECT config_generation FROM bots WHERE id = %s")[0]
            return int(desired) - int(self.runtime("/health")["configGeneration"])

        eventually(behind, lambda number: number <= 0, what=f"{self.id} to have its configuration")

    def send(self, to: str, **message: Any) -> dict[str, Any]:
        """Send a message and wait until it is sent or failed."""
        sent: dict[str, Any] = self.fleet.call("POST", f"{self.path}/messages?wait=30", {"to": to, **message})
        return sent

    def message(self, message_id: str, *states: str) -> dict[str, Any]:
        """Wait until an outgoing message is in one of the states; the message."""
        path = f"{self.path}/messages/{message_id}"
        found: dict[str, Any] = eventually(
            lambda: self.fleet.call("GET", path),
            lambda seen: seen["state"] in states,
            what=f"a message to be {states}",
        )
        return found

    def recorded(self, message_id: str) -> list[dict[str, Any]]:
        """The entries of the bot's history for a received message."""
        return [
            message
            for event in self.history("message-upsert")
            for message in event["data"]["messages"]
            if message["id"] == message_id
        ]

    def history(self, kind: str | None = None) -> list[dict[str, Any]]:
        """All of the bot's events, oldest first."""
        items: list[dict[str, Any]] = []
        after = "0"
        while page := self.fleet.call("GET", f"{self.path}/events?after={after}&limit=200"):
            items += page["items"]
            if page["next"] == after:
                break
            after = page["next"]
        return [item for item in items if kind in (None, item["type"])]

    # As a contact

    def ask(self, contact: str, text: str, *, deadline: float = DEADLINE_SECONDS) -> str:
        """A contact writes; the bot's next text to that contact."""
        return self.fleet.phones.ask(contact, self.phone, text, deadline=deadline)

    def write(self, contact: str, text: str) -> str:
        """A contact writes; the message's id."""
        return self.fleet.phones.write(contact, self.phone, text)

    # By the engine, the database, and its own endpoint

    @property
    def restarted(self) -> bool:
        """Whether its container was restarted since the pairing."""
        return self.fleet.started_at(self.id) != self.started_at

    def row(self, query: str) -> tuple[Any, ...]:
        """The single row of a query whose only parameter is the bot's id."""
        with psycopg.connect(self.fleet.database_url) as connection:
            found = connection.execute(query.encode(), [self.id]).fetchone()
        assert found is not None, query
        return found

    def runtime(self, path: str, method: str = "GET") -> Any:
        """A call to the endpoint in its container."""
        address, token = self.row(
            "SELECT address, runtime_token FROM bots JOIN bot_status ON bot_key = key WHERE id = %s"
        )
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(timeout=10, trust_env=False) as http:
            return http.request(method, f"http://{address}:{PORT}{path}", headers=headers).raise_for_status().json()

    def host_address(self) -> str:
        """This machine's address in the network of the bots."""
        networks = self.fleet.container(self.id).attrs["NetworkSettings"]["Networks"]
        return str(next(iter(networks.values()))["Gateway"])
