"""Records when bots were killed."""

import threading
from collections.abc import Iterable

import docker


class Deaths:
    """The times at which bots ended by SIGKILL (Unix times, by bot), whoever sent it, as reported by the engine."""

    def __init__(self, server: str, bots: Iterable[str]) -> None:
        self.killed: dict[str, list[float]] = {bot: [] for bot in bots}
        self._client = docker.from_env()
        filters = {"event": "die", "label": f"botdock.server={server}"}
        self._events = self._client.events(decode=True, filters=filters)
        threading.Thread(target=self._watch, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._events.close()
        self._client.close()

    def _watch(self) -> None:
        for event in self._events:
            attributes = event["Actor"]["Attributes"]
            if attributes["exitCode"] == "137" and attributes.get("botdock.bot-id") in self.killed:
                self.killed[attributes["botdock.bot-id"]].append(event["timeNano"] / 1e9)
