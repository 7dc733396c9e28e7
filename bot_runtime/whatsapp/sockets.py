"""Cut the TCP connections of the Go library, the one way to stop what neonize cannot.

neonize cannot reconnect a client it has; shutting its socket down makes whatsmeow see an ordinary drop and reconnect at
once, with the same client. Nor can it stop a transfer of a file, which then fails.
"""

import os
import socket
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

_DESCRIPTORS = Path("/proc/self/fd")


class Outgoing:
    """The TCP connections of this process but those to its own port, told apart by their inodes."""

    def __init__(self, own_port: int) -> None:
        self._own_port = own_port

    def outgoing(self) -> frozenset[int]:
        """All there are."""
        return frozenset(inode for inode, _ in self._each())

    def drop(self, *, spare: Collection[int] = ()) -> int:
        """Shut down all but `spare`; how many there were."""
        dropped = 0
        for inode, connection in self._each():
            if inode in spare:
                continue
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed meanwhile
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
                continue  # closed meanwhile
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
