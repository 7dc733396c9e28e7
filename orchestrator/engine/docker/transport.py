"""One keep-alive connection to the engine's socket per client.

docker-py's own adapter opens a connection per path, keeps 25 of them, and leaks its socket if the engine does not
listen.
"""

import socket

from docker.transport import UnixHTTPAdapter
from docker.transport.unixconn import UnixHTTPConnection, UnixHTTPConnectionPool

_ANY_URL = "http+docker://localhost"


class _Connection(UnixHTTPConnection):
    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(self.unix_socket)
        except BaseException:
            sock.close()
            raise
        self.sock = sock


class _Pool(UnixHTTPConnectionPool):
    def _new_conn(self) -> _Connection:  # type: ignore[override]
        return _Connection(self.base_url, self.socket_path, self.timeout)  # type: ignore[arg-type]


class OneConnection(UnixHTTPAdapter):
    """Adapter for a client that a single thread uses; `path` is the engine's socket."""

    def __init__(self, path: str) -> None:
        super().__init__(f"http+unix://{path}", pool_connections=1, max_pool_size=1)
        self._pool = _Pool(_ANY_URL, path, maxsize=1)

    def get_connection(self, url: bytes | str, proxies: object = None) -> UnixHTTPConnectionPool:
        """The same pool for every path."""
        return self._pool

    def close(self) -> None:
        """Close the connection."""
        super().close()
        self._pool.close()
