"""Connections with one deadline for everything: a peer that sends a byte now and then cannot keep a thread busy."""

import http.client
import io
import socket
import urllib.request
from functools import partial
from time import monotonic
from typing import Any


class DeadlineSocket:
    """The part of a socket that `http.client` uses, with time only until `deadline` (of `time.monotonic`)."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        self._read = False

    def sendall(self, data: bytes) -> None:
        """Raises TimeoutError at the deadline."""
        self._connection.settimeout(seconds_left(self._deadline))
        self._connection.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """The response; closing it closes the connection."""
        self._read = True
        return io.BufferedReader(_DeadlineReader(self._connection, self._deadline))

    def close(self) -> None:
        """Close the connection unless a response is being read."""
        if not self._read:
            self._connection.close()


class _DeadlineReader(io.RawIOBase):
    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(seconds_left(self._deadline))
        return self._connection.recv_into(buffer)

    def close(self) -> None:
        super().close()
        self._connection.close()


def seconds_left(deadline: float) -> float:
    """Raises TimeoutError when there is no time left."""
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Http(http.client.HTTPConnection):
    def __init__(self, *arguments: Any, deadline: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._deadline = deadline

    def connect(self) -> None:
        super().connect()
        self.sock = DeadlineSocket(self.sock, self._deadline)


class _Https(_Http, http.client.HTTPSConnection):
    """Connects like `HTTPSConnection`, and then has the deadline of `_Http`."""


class DeadlineHandler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Opens http and https URLs, with time only until `deadline` (of `time.monotonic`)."""

    def __init__(self, deadline: float) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_Http, deadline=self._deadline), req)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_Https, deadline=self._deadline), req)
