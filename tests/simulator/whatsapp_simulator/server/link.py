"""A client's encrypted link after the handshake: stanzas in, stanzas out."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

from whatsapp_simulator.protocol import binary
from whatsapp_simulator.protocol.binary import Node
from whatsapp_simulator.protocol.client_payload import Registration
from whatsapp_simulator.protocol.jid import Jid
from whatsapp_simulator.protocol.noise import Finished
from whatsapp_simulator.tokens import Tokens
from whatsapp_simulator.world.failures import Failure, FailureKind
from whatsapp_simulator.world.model import Device, Person

#: A client that is told why it must go gets this long to read it: it drops what it has not read when the link closes.
LAST_WORDS = 1.0

logger = logging.getLogger(__name__)


class Wire(Protocol):
    """What carries the frames of a link."""

    def send(self, frame: bytes) -> None:
        """Send one message; does nothing on a closed connection."""

    def close(self) -> None:
        """Close the connection in an orderly way."""

    def abort(self) -> None:
        """Break the connection off."""


class Link:
    """One client. `person` and `device` are set after a login, `registration` while it wants to be linked."""

    def __init__(self, wire: Wire, finished: Finished, tokens: Tokens, failure: Callable[[], Failure | None]) -> None:
        self.noise_key = finished.client_static
        self.payload = finished.payload
        self.person: Person | None = None
        self.device: Device | None = None
        self.registration: Registration | None = None
        self.connected_at: float | None = None
        self.active = False
        #: Phone numbers of the people whose presence the client wants to be told.
        self.watching: set[str] = set()
        #: Keys of the pending stanzas that went out on this link.
        self.delivered: set[str] = set()
        #: Server's own iqs that wait for their answer: id → future.
        self.answers: dict[str, asyncio.Future[Node]] = {}
        self._wire = wire
        self._finished = finished
        self._tokens = tokens
        self._failure = failure
        self._delayed: deque[Node] = deque()
        self._delaying: asyncio.Task[None] | None = None

    @property
    def deaf(self) -> bool:
        """Whether the link is connected but takes and gives nothing, by an injected failure."""
        failure = self._failure()
        return failure is not None and failure.kind is FailureKind.DEAF

    def receive(self, frame: bytes) -> Node | None:
        """Decrypt and parse a frame; None while the link is deaf."""
        plain = self._finished.receiving.decrypt(frame)
        if self.deaf:
            return None
        node = binary.decode(plain, self._tokens)
        logger.debug("from %s: %s", self.label, node.tag)
        return node

    def send(self, node: Node) -> bool:
        """Send a stanza; False (and nothing sent) while the link is deaf."""
        failure = self._failure()
        if failure is not None and failure.kind is FailureKind.DEAF:
            return False
        if self._delayed or (failure is not None and failure.kind is FailureKind.SLOW):
            self._delayed.append(node)
            if self._delaying is None:
                self._delaying = asyncio.create_task(self._send_delayed())
        else:
            self._send_now(node)
        return True

    async def ask(self, node: Node, timeout: float) -> Node:
        """Send an iq of the server and wait for the answer; TimeoutError, or ConnectionError if the link closes."""
        answer: asyncio.Future[Node] = asyncio.get_running_loop().create_future()
        self.answers[node.get("id")] = answer
        self.send(node)
        try:
            return await asyncio.wait_for(answer, timeout)
        finally:
            self.answers.pop(node.get("id"), None)

    def dismiss(self, last_words: Node) -> None:
        """Tell the client why it must go, and close after it had time to read that."""
        self._send_now(last_words)
        asyncio.get_running_loop().call_later(LAST_WORDS, self._wire.close)

    def abort(self) -> None:
        """Break the connection off."""
        self._wire.abort()

    def closed(self) -> None:
        """The connection is gone: nothing waits for it any more."""
        if self._delaying is not None:
            self._delaying.cancel()
        for answer in self.answers.values():
            if not answer.done():
                answer.set_exception(ConnectionError("the client closed the connection"))

    @property
    def label(self) -> str:
        """Who this is, for logs."""
        address: Jid | str = "unlinked client"
        if self.person and self.device:
            address = self.person.phone_jid(self.device.number)
        return str(address)

    def _send_now(self, node: Node) -> None:
        logger.debug("to %s: %s", self.label, node.tag)
        self._wire.send(self._finished.sending.encrypt(binary.encode(node)))

    async def _send_delayed(self) -> None:
        while self._delayed:
            failure = self._failure()
            await asyncio.sleep(failure.delay if failure is not None and failure.kind is FailureKind.SLOW else 0)
            self._send_now(self._delayed.popleft())
        self._delaying = None
