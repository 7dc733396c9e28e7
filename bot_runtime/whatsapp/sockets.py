"""Shuts down the TCP connections of the Go library: the only way to stop what neonize cannot stop.

neonize cannot reconnect an existing client. When its socket is shut down, whatsmeow sees an ordinary drop and
reconnects at once, with the same client. Nor can neonize cancel the transfer of a file; without its
socket the transfer fails.
"""

import os
import socket
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

_DESCRIPTORS = Path("/proc/self/fd")


class OutgoingSockets:
    """The TCP connections of this process, except those to its own port, identified by their inodes."""

    def __init__(self, own_port: int) -> None:
        self._own_port = own_port

    def inodes(self) -> frozenset[int]:
        """The inodes of all connections."""
        return frozenset(inode for inode, _ in self._each())

    def drop(self, *, spare: Collection[int] = ()) -> int:
        """Shut down all connections except `spare`; returns their number."""
        dropped = 0
        for inode, connection in self._each():
            if inode in spare:
                continue
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed in the meantime
            dropped += 1
        return dropped

    def _each(self) -> Iterator[tuple[int, socket.socket]]:
        for name in os.listdir(_DESCRIPTORS):  # noqa: PTH208 - names, not paths
            try:
                found = os.fstat(int(name))
                if not stat.S_ISSOCK(found.st_mode):
                    continue
                copy = socket.socket(fileno=os.dup(int(name)))
            except OSError:
                continue  # closed in the meantime
            with copy:
                if _is_outgoing(copy, self._own_port):
                    yield found.st_ino, copy


def _is_outgoing(candidate: socket.socket, own_port: int) -> bool:
    if candidate.family not in (socket.AF_INET, socket.AF_INET6) or candidate.type != socket.SOCK_STREAM:
        return False
    try:
        candidate.getpeername()
    except OSError:
        return False
    return bool(candidate.getsockname()[1] != own_port)
