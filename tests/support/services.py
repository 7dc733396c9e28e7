"""A web service that bots can call: for webhooks of commands and as a language model."""

import http.server
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

WAIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ServiceRequest:
    """A request that was received."""

    path: str
    authorization: str | None
    body: Any


@dataclass(frozen=True, slots=True)
class ServiceResponse:
    """An answer in JSON."""

    body: Any
    status: int = 200


class WebService:
    """Serves POST at `url` until closed; `asked` holds the requests in order of arrival.

    `answer` runs in a separate thread for each request, so it may block (on a `Gate`, for example).
    """

    def __init__(self, address: str, answer: Callable[[ServiceRequest], ServiceResponse], *, port: int = 0) -> None:
        self.asked: list[ServiceRequest] = []
        asked = self.asked

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                call = ServiceRequest(self.path, self.headers["Authorization"], body)
                asked.append(call)
                said = answer(call)
                content = json.dumps(said.body).encode()
                try:
                    self.send_response(said.status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except ConnectionError:
                    self.close_connection = True  # the bot has timed out

            def log_message(self, *_: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer((address, port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{address}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class Gate:
    """Blocks threads until it is opened; counts them, and how many were blocked at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = threading.Event()
        self.inside = 0
        self.most = 0
        self.passed = 0

    def wait(self) -> None:
        """Wait for it to be opened. Raises TimeoutError if nobody does."""
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            if not self._open.wait(WAIT_SECONDS):
                raise TimeoutError("nobody opened the gate")
        finally:
            with self._lock:
                self.inside -= 1
                self.passed += 1

    def open(self) -> None:
        """Let all threads through from now on."""
        self._open.set()
