"""A total time limit of a blocking call: when it is over, the connection of the call is shut down.

So the call ends whatever it is waiting for: a connection, a handshake, a peer that reads or writes a byte now and then.
Only the resolution of a name cannot be interrupted: the system's resolver has a limit of its own.
"""

import socket
import threading
from contextlib import suppress


class TimeLimit:
    """The limit of one call. `expire` may be called on another thread than everything else."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self.expired = False

    def connect(self, address: tuple[str, int], *_: object) -> socket.socket:
        """Like `socket.create_connection`. Raises OSError, TimeoutError when the time is over."""
        failure: OSError | None = None
        for family, kind, protocol, _name, found in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            connection = socket.socket(family, kind, protocol)
            try:
                self._watch(connection)
                connection.settimeout(self._seconds)
                connection.connect(found)
            except OSError as exc:
                connection.close()
                failure = exc
            else:
                return connection
        raise failure or OSError(f"{address[0]} has no address")

    def expire(self) -> None:
        """The time is over: end the call, if it has not ended."""
        with self._lock:
            self.expired = True
            if self._connection is not None:
                with suppress(OSError):  # it is not connected (any more)
                    self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """The call has ended."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _watch(self, connection: socket.socket) -> None:
        self.close()
        with self._lock:
            if self.expired:
                raise TimeoutError
            self._connection = connection.dup()  # TLS moves the descriptor itself to another object
