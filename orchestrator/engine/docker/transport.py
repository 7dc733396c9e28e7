"""One keep-alive connection to the engine per client, and a check of the engine at its other end before it is used.

docker-py's own adapter for a socket opens a connection per path, keeps 25 of them, and leaks its socket if the engine
does not listen.
"""

import http.client
import json
import socket
from collections.abc import Callable
from http import HTTPStatus

from docker.transport import UnixHTTPAdapter
from docker.transport.unixconn import UnixHTTPConnection, UnixHTTPConnectionPool
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_ANY_URL = "http+docker://localhost"


class _Connection(UnixHTTPConnection):
    on_connect: Callable[[socket.socket], None]

    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(self.unix_socket)
            self.on_connect(sock)
        except BaseException:
            sock.close()
            raise
        self.sock = sock


class _Pool(UnixHTTPConnectionPool):
    on_connect: Callable[[socket.socket], None]

    def _new_conn(self) -> _Connection:  # type: ignore[override]
        connection = _Connection(self.base_url, self.socket_path, self.timeout)  # type: ignore[arg-type]
        connection.on_connect = self.on_connect
        return connection


class OneConnection(UnixHTTPAdapter):
    """Adapter for a client that a single thread uses."""

    def __init__(self, path: str, on_connect: Callable[[socket.socket], None]) -> None:
        """`path` is the engine's socket. What `on_connect` raises for a new connection ends the request."""
        super().__init__(f"http+unix://{path}", pool_connections=1, max_pool_size=1)
        self._pool = _Pool(_ANY_URL, path, maxsize=1)
        self._pool.on_connect = on_connect

    def get_connection(self, url: bytes | str, proxies: object = None) -> UnixHTTPConnectionPool:
        """The same pool for every path."""
        return self._pool

    def close(self) -> None:
        """Close the connection."""
        super().close()
        self._pool.close()


class NetworkConnection(HTTPAdapter):
    """The same for an engine that is reached over the network."""

    def __init__(self, on_connect: Callable[[socket.socket], None]) -> None:
        """What `on_connect` raises for a new connection ends the request."""
        super().__init__(pool_connections=1, pool_maxsize=1)

        class Plain(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                _check(self, on_connect)

        class Encrypted(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                _check(self, on_connect)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class EncryptedPool(HTTPSConnectionPool):
            ConnectionCls = Encrypted

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": EncryptedPool}


def _check(connection: HTTPConnection, on_connect: Callable[[socket.socket], None]) -> None:
    try:
        on_connect(connection.sock)
    except BaseException:
        connection.close()
        raise


def engine_id(sock: socket.socket) -> str:
    """The id of the engine at the other end of an unused connection, which can be used afterwards; empty without one.

    Raises OSError and http.client.HTTPException.
    """
    connection = http.client.HTTPConnection("localhost")
    connection.sock = sock
    connection.request("GET", "/info")
    response = connection.getresponse()
    body = response.read()
    if response.status != HTTPStatus.OK:
        raise ConnectionError(f"GET /info: {response.status}")
    return str(json.loads(body).get("ID") or "")
