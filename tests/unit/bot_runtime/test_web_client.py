"""Calls to web services: allowed addresses, limits of time and size, and error messages."""

import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator
from typing import ClassVar

import pytest

from bot_runtime.web.addresses import AllowedHosts
from bot_runtime.web.client import Resolve, WebError, WebResponse, post_directly, post_with_key, resolve
from bot_runtime.web.time_limit import TimeLimit

KEY = "sk-very-secret"


class Service(http.server.BaseHTTPRequestHandler):
    """Responds by path."""

    keys: ClassVar[list[str | None]] = []
    hosts: ClassVar[list[str | None]] = []
    closing = threading.Event()

    def do_POST(self) -> None:
        if self.path.startswith("/trickling"):
            self._trickle(self.path.removeprefix("/trickling-"))
            return
        self.keys.append(self.headers["Authorization"])
        self.hosts.append(self.headers["Host"])
        body = {"/large": b"x" * 2000}.get(self.path, b'{"text": "hello"}')
        self.send_response({"/moved": 302, "/broken": 503}.get(self.path, 200))
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _trickle(self, part: str) -> None:
        """Send a byte now and then, without end."""
        if part == "body":
            self.send_response(200)
            self.end_headers()
        with contextlib.suppress(OSError):
            while not self.closing.wait(0.02):
                self.wfile.write(b"x")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A service on this machine, which is treated as an external one."""
    monkeypatch.setattr(AllowedHosts, "permits", lambda *_: True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Service.keys.clear()
    Service.hosts.clear()
    Service.closing.clear()
    yield f"http://localhost:{server.server_port}"
    Service.closing.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_name_is_refused_if_any_of_its_addresses_is_not_allowed() -> None:
    for addresses in (["127.0.0.1"], ["10.0.0.5"], ["93.184.216.34", "169.254.169.254"]):
        with pytest.raises(WebError, match=r"^its address is not allowed$"):
            post("http://rebound.example/", resolve=lambda *_, found=addresses: found)


def test_the_checked_address_is_the_one_that_is_connected_to(service: str) -> None:
    """A name that is resolved again would resolve to another address."""
    addresses = iter((["127.0.0.1"],))
    rebound = service.replace("localhost", "rebound.example")
    assert post(rebound, resolve=lambda *_: next(addresses)).body == b'{"text": "hello"}'
    assert Service.hosts == [rebound.removeprefix("http://")]


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/", "file:///etc/passwd", "example.com", "http://", "http://u:p@example.com/", "http://[/"],
)
def test_only_valid_http_urls_are_called(url: str) -> None:
    with pytest.raises(WebError, match="not a valid"):
        post(url)
    with pytest.raises(WebError, match="not a valid"):
        ask(url)


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[TimeLimit]:
    """A limit that expires like that of `WebThreads`."""
    limit = TimeLimit(seconds)
    timer = threading.Timer(seconds, limit.expire)
    timer.start()
    try:
        yield limit
    finally:
        timer.cancel()
        limit.close()


def post(url: str, body: object = None, *, resolve: Resolve = resolve, seconds: float = 5) -> WebResponse:
    with time_limit(seconds) as limit:
        return post_directly(limit, url, body or {"a": 1}, allowed=AllowedHosts(), limit=1000, resolve=resolve)


def ask(url: str, body: object = None, *, seconds: float = 5) -> WebResponse:
    with time_limit(seconds) as limit:
        return post_with_key(limit, url, body or {}, key=KEY, limit=1000)


def test_a_response_has_its_content_type(service: str) -> None:
    answer = post(f"{service}/x?y=1")
    assert (answer.content_type, answer.body) == ("application/json", b'{"text": "hello"}')
    assert ask(f"{service}/x").body == b'{"text": "hello"}'
    assert Service.keys == [None, f"Bearer {KEY}"]


@pytest.mark.parametrize(
    ("path", "message"), [("/moved", "status 302"), ("/broken", "status 503"), ("/large", "too long")]
)
def test_other_responses_are_errors_and_redirects_are_not_followed(service: str, path: str, message: str) -> None:
    with pytest.raises(WebError, match=message):
        post(service + path)
    with pytest.raises(WebError, match=message):
        ask(service + path)
    assert len(Service.keys) == 2


@pytest.mark.parametrize("part", ["headers", "body"])
def test_the_time_limit_is_a_total_that_a_trickling_service_cannot_extend(service: str, part: str) -> None:
    for call in (post, ask):
        with pytest.raises(WebError, match="did not answer in time"):
            call(f"{service}/trickling-{part}", seconds=0.3)


def test_an_unreachable_service_and_a_bad_key_are_reported_without_the_key() -> None:
    with pytest.raises(WebError, match="could not be reached"):
        ask("http://127.0.0.1:1/")
    with pytest.raises(WebError) as failed:
        post_with_key(TimeLimit(1), "http://127.0.0.1:1/", {}, key=f"{KEY}\n", limit=10)
    assert KEY not in str(failed.value)
    assert failed.value.__cause__ is None


class Stubborn:
    """A server that never lets a client finish: it reads nothing, and sends `head`, then `trickle` now and then."""

    def __init__(self, head: bytes, trickle: bytes) -> None:
        self._head = head
        self._trickle = trickle
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.02)
        self.closing = threading.Event()
        self.port = self._listener.getsockname()[1]

    def serve(self) -> None:
        with contextlib.ExitStack() as sockets:
            listener = sockets.enter_context(self._listener)
            accepted: list[socket.socket] = []
            while not self.closing.is_set():
                with contextlib.suppress(TimeoutError):
                    accepted.append(sockets.enter_context(listener.accept()[0]))
                    accepted[-1].send(self._head)
                for connection in accepted:
                    with contextlib.suppress(OSError):
                        connection.send(self._trickle)


@pytest.fixture
def stubborn(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Stubborn]:
    monkeypatch.setattr(AllowedHosts, "permits", lambda *_: True)
    server = Stubborn(*request.param)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    yield server
    server.closing.set()
    thread.join()


SILENT = (b"", b"")
HANDSHAKE = (b"\x16\x03\x03\x3f\xff", b"\x02")
"""The start of a TLS record of the maximum length."""
LATE = r"^the service did not answer in time$"


@pytest.mark.parametrize("stubborn", [SILENT, HANDSHAKE], indirect=True)
def test_the_time_limit_includes_the_handshake(stubborn: Stubborn) -> None:
    with pytest.raises(WebError, match=LATE):
        post(f"https://127.0.0.1:{stubborn.port}/", seconds=0.2)


@pytest.mark.parametrize("stubborn", [SILENT], indirect=True)
def test_the_time_limit_includes_a_service_that_does_not_read(stubborn: Stubborn) -> None:
    for call in (post, ask):
        with pytest.raises(WebError, match=LATE):
            call(f"http://127.0.0.1:{stubborn.port}/", "x" * 20_000_000, seconds=0.2)


@pytest.mark.parametrize("stubborn", [SILENT, (b"", b"x")], indirect=True)
def test_the_time_limit_includes_the_proxy(stubborn: Stubborn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{stubborn.port}")
    with pytest.raises(WebError, match=LATE):
        ask("https://model.example/", seconds=0.2)


def test_the_time_limit_includes_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AllowedHosts, "permits", lambda *_: True)
    with contextlib.ExitStack() as sockets:
        full = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):  # the kernel ignores further ones
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        with pytest.raises(WebError, match=LATE):
            post(f"http://127.0.0.1:{full.getsockname()[1]}/", seconds=0.2)
