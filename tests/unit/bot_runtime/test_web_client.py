"""Calls to web services: allowed addresses, limits of time and size, and error messages."""

import http.server
import threading
from collections.abc import Iterator
from typing import ClassVar

import pytest

from bot_runtime.web import client
from bot_runtime.web.client import WebError, is_inside, post_directly, post_with_key

KEY = "sk-very-secret"


class Service(http.server.BaseHTTPRequestHandler):
    """Responds by path."""

    keys: ClassVar[list[str | None]] = []

    def do_POST(self) -> None:
        self.keys.append(self.headers["Authorization"])
        body = {"/large": b"x" * 2000}.get(self.path, b'{"text": "hello"}')
        self.send_response({"/moved": 302, "/broken": 503}.get(self.path, 200))
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A service on this machine, which is treated as an external one."""
    monkeypatch.setattr(client, "is_inside", lambda _: False)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Service.keys.clear()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "169.254.169.254", "224.0.0.1", "255.255.255.255", "::1", "::",
        "fe80::1%eth0", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::", "ff02::1",
    ],
)  # fmt: skip
def test_loopback_and_link_local_addresses_are_inside(address: str) -> None:
    assert is_inside(address)


@pytest.mark.parametrize("address", ["10.0.0.5", "172.18.0.2", "93.184.216.34", "2606:4700::1111", "fd00::5"])
def test_other_addresses_are_not_inside(address: str) -> None:
    assert not is_inside(address)


def test_a_name_that_resolves_to_an_inside_address_is_refused() -> None:
    for addresses in (["127.0.0.1"], ["93.184.216.34", "169.254.169.254"]):
        with pytest.raises(WebError, match="not allowed"):
            post_directly(
                "http://rebound.example/", {}, timeout_seconds=1, limit=10, resolve=lambda *_, found=addresses: found
            )


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/", "file:///etc/passwd", "example.com", "http://", "http://u:p@example.com/", "http://[/"],
)
def test_only_valid_http_urls_are_called(url: str) -> None:
    with pytest.raises(WebError, match="not a valid"):
        post_directly(url, {}, timeout_seconds=1, limit=10)
    with pytest.raises(WebError, match="not a valid"):
        ask(url)


def ask(url: str) -> client.WebResponse:
    return post_with_key(url, {}, key=KEY, timeout_seconds=5, limit=1000)


def test_a_response_has_its_content_type(service: str) -> None:
    answer = post_directly(f"{service}/x?y=1", {"a": 1}, timeout_seconds=5, limit=1000)
    assert (answer.content_type, answer.body) == ("application/json", b'{"text": "hello"}')
    assert ask(f"{service}/x").body == b'{"text": "hello"}'
    assert Service.keys == [None, f"Bearer {KEY}"]


@pytest.mark.parametrize(
    ("path", "message"), [("/moved", "status 302"), ("/broken", "status 503"), ("/large", "too long")]
)
def test_other_responses_are_errors_and_redirects_are_not_followed(service: str, path: str, message: str) -> None:
    with pytest.raises(WebError, match=message):
        post_directly(service + path, {}, timeout_seconds=5, limit=1000)
    with pytest.raises(WebError, match=message):
        ask(service + path)
    assert len(Service.keys) == 2


def test_an_unreachable_service_and_a_bad_key_are_reported_without_the_key() -> None:
    with pytest.raises(WebError, match="could not be reached"):
        ask("http://127.0.0.1:1/")
    with pytest.raises(WebError) as failed:
        post_with_key("http://127.0.0.1:1/", {}, key=f"{KEY}\n", timeout_seconds=1, limit=10)
    assert KEY not in str(failed.value)
    assert failed.value.__cause__ is None
