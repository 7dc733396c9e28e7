"""Cut the TCP connections of the Go library, the one way to renew a connection that neonize leaves open.

neonize cannot reconnect a client it has; shutting its socket down makes whatsmeow see an ordinary drop and reconnect at
once, with the same client.
"""

import os
import socket
import stat
from pathlib import Path

_DESCRIPTORS = Path("/proc/self/fd")


def drop_outgoing(own_port: int) -> int:
    """Shut down every TCP connection of this process but those to its own port; how many there were."""
    dropped = 0
    for name in os.listdir(_DESCRIPTORS):  # noqa: PTH208 - names, not paths
        try:
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            copy = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue  # closed meanwhile
        with copy:
            if _is_outgoing(copy, own_port):
                copy.shutdown(socket.SHUT_RDWR)
                dropped += 1
    return dropped


def _is_outgoing(candidate: socket.socket, own_port: int) -> bool:
    if candidate.family not in (socket.AF_INET, socket.AF_INET6) or candidate.type != socket.SOCK_STREAM:
        return False
    try:
        candidate.getpeername()
    except OSError:
        return False
    return bool(candidate.getsockname()[1] != own_port)
