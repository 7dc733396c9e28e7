"""Blocking calls to web services: limited in time (`time_limit.py`) and size.

URLs that people other than admins choose are called by `post_directly`, which checks the address that it connects to.

Error messages may be shown in a chat: they contain no address, header or body.
"""

import http.client
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from bot_runtime.web.addresses import AllowedHosts, effective
from bot_runtime.web.time_limit import TimeLimit

Resolve = Callable[[str, int], list[str]]


class WebError(Exception):
    """The call failed; the message is a clause for people."""


@dataclass(frozen=True, slots=True)
class WebResponse:
    """The response of a service, with a status of 2xx."""

    content_type: str
    body: bytes


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host. Raises OSError."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def post_directly(
    time_limit: TimeLimit,
    url: str,
    body: object,
    *,
    allowed: AllowedHosts,
    limit: int,
    resolve: Resolve = resolve,
) -> WebResponse:
    """POST JSON to a URL that an operator chose. Raises `WebError`.

    Only to addresses that `allowed` permits. The name is resolved once, and the connection goes to the address that was
    checked. There is no proxy, because a proxy would resolve the name itself, and redirects are refused.
    A response has at most `limit` bytes.
    """
    parts = _parts(url)
    addresses = _resolved(parts, resolve)
    if not all(allowed.permits(parts.hostname or "", address) for address in addresses):
        raise WebError("its address is not allowed")
    connection = _Pinned(parts, addresses[0], time_limit)
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/plain", "Connection": "close"}
    path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    try:
        connection.request("POST", path, msgspec.json.encode(body), headers)
        return _answer(connection.getresponse(), limit, time_limit)
    except (OSError, http.client.HTTPException, ValueError) as exc:
        raise WebError(_reason(exc, time_limit)) from None
    finally:
        connection.close()


def post_with_key(time_limit: TimeLimit, url: str, body: object, *, key: str | None, limit: int) -> WebResponse:
    """POST JSON to a URL of the installation with its API key, through the proxy of the environment. Raises `WebError`.

    Redirects are refused, because the key would be sent along; so are link-local addresses.
    """
    parts = _parts(url)
    proxied = parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(parts.hostname or "")
    if not proxied and any(effective(address).is_link_local for address in _resolved(parts, resolve)):
        raise WebError("its address is not allowed")
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, msgspec.json.encode(body), headers)  # noqa: S310 - `_parts` has checked it
    try:
        opener = urllib.request.build_opener(_NoRedirect, _WithTimeLimit(time_limit))
        with opener.open(request) as response:
            return _answer(response, limit, time_limit)
    except urllib.error.HTTPError as exc:
        exc.close()
        raise WebError(f"the service returned status {exc.code}") from None
    except (OSError, http.client.HTTPException, ValueError) as exc:
        raise WebError(_reason(exc, time_limit)) from None


def _parts(url: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = None
    if not usable or parts.username is not None:
        raise WebError("its address is not a valid http or https URL")
    return parts


def _resolved(parts: urllib.parse.SplitResult, resolve: Resolve) -> list[str]:
    try:
        addresses = resolve(parts.hostname or "", _port(parts))
    except (OSError, UnicodeError):
        raise WebError("its address could not be resolved") from None
    if not addresses:
        raise WebError("its address could not be resolved")
    return addresses


def _port(parts: urllib.parse.SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _answer(response: Any, limit: int, time_limit: TimeLimit) -> WebResponse:
    if not 200 <= response.status < 300:
        raise WebError(f"the service returned status {response.status}")
    body = b"".join(_chunks(response, limit))
    if time_limit.expired:  # its end may look like that of the response
        raise TimeoutError
    return WebResponse(response.headers.get_content_type(), body)


def _chunks(response: Any, limit: int) -> Iterable[bytes]:
    size = 0
    while chunk := response.read1(16384):
        size += len(chunk)
        if size > limit:
            raise WebError("the response is too long")
        yield chunk


def _reason(error: Exception, time_limit: TimeLimit) -> str:
    inner = getattr(error, "reason", error)
    if time_limit.expired or isinstance(inner, TimeoutError):
        return "the service did not answer in time"
    if isinstance(inner, ssl.SSLError):
        return "the certificate of the service is not trusted"
    return "the service could not be reached"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class _Http(http.client.HTTPConnection):
    """A connection, also to a proxy, with a time limit."""

    def __init__(self, *arguments: Any, time_limit: TimeLimit, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._create_connection = time_limit.connect


class _Https(_Http, http.client.HTTPSConnection):
    """Connects like `HTTPSConnection`, with the time limit of `_Http`."""


class _WithTimeLimit(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    def __init__(self, time_limit: TimeLimit) -> None:
        super().__init__()
        self._time_limit = time_limit

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_Http, time_limit=self._time_limit), req)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_Https, time_limit=self._time_limit), req)


class _Pinned(http.client.HTTPConnection):
    """A connection to an address that has been checked, with the name of its host."""

    def __init__(self, parts: urllib.parse.SplitResult, address: str, time_limit: TimeLimit) -> None:
        self.default_port = 443 if parts.scheme == "https" else 80
        super().__init__(parts.hostname or "", _port(parts))
        self._time_limit = time_limit
        self._address = address
        self._secure = parts.scheme == "https"

    def connect(self) -> None:
        connection = self._time_limit.connect((self._address, self.port))
        if self._secure:
            context = ssl.create_default_context()
            connection = context.wrap_socket(connection, server_hostname=self.host)
        self.sock = connection
