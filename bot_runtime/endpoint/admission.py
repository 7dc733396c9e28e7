"""Which connections stay open: those that have proved that they know the token, and a few others. Pure.

Bots share a network, so a compromised bot can open connections to the endpoints of others. It cannot prove anything on
them: each of its connections soon gives way to the next one, first those of the peer that has the most.
"""

from collections import Counter
from typing import Generic, TypeVar

MAX_TRUSTED = 64
MAX_STRANGERS = 48
MAX_STRANGERS_PER_PEER = 16
"""More than the orchestrator opens at once before its first request is read."""

_C = TypeVar("_C")


class Admission(Generic[_C]):
    """The open connections of one endpoint. A new connection is a stranger until a request on it is authorized."""

    def __init__(self) -> None:
        self._strangers: dict[_C, str] = {}
        """Their peers, oldest connection first."""
        self._trusted: set[_C] = set()

    def open(self, connection: _C, peer: str) -> _C | None:
        """Admit a connection from the address `peer`; returns the one that has to close for it, if any."""
        self._strangers[connection] = peer
        peers = Counter(self._strangers.values())
        if peers[peer] > MAX_STRANGERS_PER_PEER:
            givers = {peer}
        elif len(self._strangers) > MAX_STRANGERS:
            most = max(peers.values())
            givers = {other for other, number in peers.items() if number == most}
        else:
            return None
        oldest = next(one for one, its_peer in self._strangers.items() if its_peer in givers)
        # Not only once it is closed: until then, it would be chosen again for others that arrive at the same time.
        del self._strangers[oldest]
        return oldest

    def trust(self, connection: _C) -> bool:
        """A request on the connection is authorized; whether it may stay open."""
        if connection in self._trusted:
            return True
        if len(self._trusted) >= MAX_TRUSTED:
            return False
        self._strangers.pop(connection, None)
        self._trusted.add(connection)
        return True

    def is_trusted(self, connection: _C) -> bool:
        """Whether a request on the connection was authorized."""
        return connection in self._trusted

    def close(self, connection: _C) -> None:
        """The connection is closed."""
        self._strangers.pop(connection, None)
        self._trusted.discard(connection)
