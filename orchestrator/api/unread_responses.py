"""Limits the memory that responses take whose clients do not read them.

A response is complete in memory until its client has read it, and one page may have many megabytes. The unread
responses together have at most `MAX_BYTES`, and those to the keys of one server at most half of it, so that clients of
one tenant which do not read their responses cannot use up the memory of the api. A further response is replaced by an
error at once: waiting would take as much memory as sending.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import Message, Send

from orchestrator.errors import UnavailableError

log = logging.getLogger(__name__)

MIB = 1 << 20
MAX_BYTES = 128 * MIB
PIECE_BYTES = 64 << 10
"""A body is sent in pieces of this size, each after the client has read most of those before. Smaller bodies are not
counted."""
READ_SECONDS = 120.0
"""How long a client may take to read a body."""


class UnreadResponses:
    """The memory budget that all responses of a process share."""

    def __init__(self, *, maximum: int = MAX_BYTES, read_seconds: float = READ_SECONDS) -> None:
        self._maximum = maximum
        self._read_seconds = read_seconds
        self._unread: Counter[str | None] = Counter()

    async def send(self, start: Message, body: bytes, send: Send, *, server: str | None) -> None:
        """Send a response with a complete body to a key of `server` (None: an admin key).

        A client that does not read it in time gets only a part. Raises UnavailableError, before anything is sent, if
        too many responses are unread.
        """
        with self._counted(len(body), server):
            try:
                async with asyncio.timeout(self._read_seconds):
                    await send(start)
                    for at in range(0, len(body), PIECE_BYTES):
                        piece = body[at : at + PIECE_BYTES]
                        more = at + PIECE_BYTES < len(body)
                        await send({"type": "http.response.body", "body": piece, "more_body": more})
            except TimeoutError:
                log.warning("a client did not read %d bytes within %g s: closing", len(body), self._read_seconds)

    @contextmanager
    def _counted(self, size: int, server: str | None) -> Iterator[None]:
        share = self._maximum // 2
        alone = self._unread[server] == 0  # a response may be larger than the share
        if not alone and (self._unread[server] + size > share or self._unread.total() + size > self._maximum):
            raise UnavailableError("too many responses are unread: read them, and retry later", code="busy")
        self._unread[server] += size
        try:
            yield
        finally:
            self._unread[server] -= size
            self._unread += Counter()  # drops servers without responses
