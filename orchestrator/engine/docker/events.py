"""Docker's stream of events as an asyncio generator that survives the engine.

A separate thread reads the stream, because reading blocks while nothing happens. Whenever the stream is established
again, or the reader was too slow and events were dropped, CONNECTED tells the reader to list the containers.
"""

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import requests
from docker import APIClient
from docker.errors import DockerException

from orchestrator.engine.backlog import CONNECTED, Backlog
from orchestrator.engine.base import EngineEvent, EngineEventKind, Label, WrongEngineError
from orchestrator.engine.docker.observe import from_event

log = logging.getLogger(__name__)

FIRST_DELAY_SECONDS = 0.05
MAX_DELAY_SECONDS = 0.1
CONNECT_TIMEOUT_SECONDS = 5.0

_KINDS = [kind.value for kind in EngineEventKind if kind is not EngineEventKind.CONNECTED]

_LOST = (DockerException, requests.RequestException, OSError, WrongEngineError)


class EventStream:
    """The stream of one reader. `close` ends the thread, whatever it waits for."""

    def __init__(self, new_client: Callable[[], APIClient], *, owner: str, server: str) -> None:
        self._new_client = new_client
        self._filters = json.dumps(
            {
                "type": ["container"],
                "event": _KINDS,
                "label": [f"{Label.OWNER}={owner}", f"{Label.SERVER}={server}"],
            }
        )
        self._loop = asyncio.get_running_loop()
        self._backlog = Backlog()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._response: requests.Response | None = None
        # A daemon thread, so that a hanging engine cannot block the exit of the process.
        self._thread = threading.Thread(target=self._run, name="docker-events", daemon=True)
        self._thread.start()

    def read(self) -> AsyncIterator[EngineEvent]:
        """The events, until `close`."""
        return self._backlog.read()

    async def close(self) -> None:
        """End the stream and wait for its thread, but not for a hanging engine."""
        self._backlog.end()
        with self._lock:
            self._closed.set()
            if self._response is not None:
                _interrupt(self._response)
        await asyncio.to_thread(self._thread.join, CONNECT_TIMEOUT_SECONDS + 1)

    def _run(self) -> None:
        delay = FIRST_DELAY_SECONDS
        while not self._closed.is_set():
            try:
                client = self._new_client()
                try:
                    with self._connect(client) as response:
                        delay = FIRST_DELAY_SECONDS
                        self._follow(response)
                finally:
                    client.close()
            except (*_LOST, ValueError, KeyError) as exc:
                # ValueError, KeyError: a message was truncated, or of an unexpected kind. Reconnect then, too.
                log.debug("event stream lost", extra={"action": "engine-events", "error": str(exc)})
            self._closed.wait(delay)
            delay = min(delay * 2, MAX_DELAY_SECONDS)

    def _connect(self, client: APIClient) -> requests.Response:
        # The stream itself is read without a timeout, so first check within one that the engine answers at all.
        client.get(f"{client.base_url}/_ping", timeout=CONNECT_TIMEOUT_SECONDS).raise_for_status()
        # Docker sends the response header just before it subscribes; events in between are covered by requesting the
        # last second, too. A duplicate event does no harm.
        response = client.get(
            f"{client.base_url}/v{client.api_version}/events",
            params={"filters": self._filters, "since": str(int(time.time()) - 1)},
            stream=True,
            timeout=(CONNECT_TIMEOUT_SECONDS, None),
        )
        response.raise_for_status()
        return response

    def _follow(self, response: requests.Response) -> None:
        with self._lock:
            if self._closed.is_set():
                return
            self._response = response
        try:
            self._put(CONNECTED)
            for line in response.iter_lines(chunk_size=None):
                message: dict[str, Any] = json.loads(line)
                self._put(from_event(message))
        finally:
            with self._lock:
                self._response = None

    def _put(self, event: EngineEvent) -> None:
        try:
            self._loop.call_soon_threadsafe(self._backlog.put, event)
        except RuntimeError:  # the loop is gone, and the reader with it
            self._closed.set()


def _interrupt(response: requests.Response) -> None:
    """Wake the thread that reads this response: it reads the end of the stream."""
    try:
        response.raw.shutdown()
    except (OSError, RuntimeError, ValueError) as exc:  # it has ended by itself
        log.debug("event stream had ended", extra={"action": "engine-events", "error": str(exc)})
