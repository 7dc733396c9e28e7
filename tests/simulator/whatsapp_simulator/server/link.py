"""A client's encrypted link after the handshake: receives and sends stanzas."""

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
from whatsapp_simulator.protocol.noise import HandshakeResult
from whatsapp_simulator.tokens import Tokens
from whatsapp_simulator.world.failures import Failure, FailureKind
from whatsapp_simulator.world.model import Device, Person

#: Time for a client to read why it is disconnected; it discards unread data when the link closes.
CLOSE_DELAY_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Wire(Protocol):
    """The transport of a link's frames."""

    def send(self, frame: bytes) -> None:
        """Send one frame; does nothing if the connection is closed."""

    def close(self) -> None:
        """Close the connection gracefully."""

    def abort(self) -> None:
        """Abort the connection."""


class Link:
    """One client. `person` and `device` are set after login, `registration` while it waits to be linked."""

    def __init__(
        self, wire: Wire, handshake: HandshakeResult, tokens: Tokens, failure: Callable[[], Failure | None]
    ) -> None:
        self.noise_key = handshake.client_static
        self.payload = handshake.payload
        self.person: Person | None = None
        self.device: Device | None = None
        self.registration: Registration | None = None
        self.connected_at: float | None = None
        self.active = False
        #: Phone numbers of the people whose presence the client has subscribed to.
        self.watching: set[str] = set()
        #: Keys of the pending stanzas that were sent on this link.
        self.delivered: set[str] = set()
        #: Pending iqs of the server: id → future for the answer.
        self.answers: dict[str, asyncio.Future[Node]] = {}
        self._wire = wire
        self._handshake = handshake
        self._tokens = tokens
        self._failure = failure
        self._delayed: deque[Node] = deque()
        self._delaying: asyncio.Task[None] | None = None

    @property
    def deaf(self) -> bool:
        """Whether an injected failure makes the link ignore and send nothing while it stays connected."""
        failure = self._failure()
        return failure is not None and failure.kind is FailureKind.DEAF

    def receive(self, frame: bytes) -> Node | None:
        """Decrypt and parse a frame; None while the link is deaf."""
        plain = self._handshake.receiving.decrypt(frame)
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

    async def ask(self, node: Node, timeout_seconds: float) -> Node:
        """Send an iq and wait for the answer; TimeoutError after the timeout, ConnectionError if the link closes."""
        answer: asyncio.Future[Node] = asyncio.get_running_loop().create_future()
        self.answers[node.get("id")] = answer
        self.send(node)
        try:
            return await asyncio.wait_for(answer, timeout_seconds)
        finally:
            self.answers.pop(node.get("id"), None)

    def close_with(self, reason: Node) -> None:
        """Send the client the reason, and close the link after the client had time to read it."""
        self._send_now(reason)
        asyncio.get_running_loop().call_later(CLOSE_DELAY_SECONDS, self._wire.close)

    def abort(self) -> None:
        """Abort the connection."""
        self._wire.abort()

    def closed(self) -> None:
        """The connection is closed: cancel everything that waits for it."""
        if self._delaying is not None:
            self._delaying.cancel()
        for answer in self.answers.values():
            if not answer.done():
                answer.set_exception(ConnectionError("the client closed the connection"))

    @property
    def label(self) -> str:
        """The name of the client in logs."""
        address: Jid | str = "unlinked client"
        if self.person and self.device:
            address = self.person.phone_jid(self.device.number)
        return str(address)

    def _send_now(self, node: Node) -> None:
        logger.debug("to %s: %s", self.label, node.tag)
        self._wire.send(self._handshake.sending.encrypt(binary.encode(node)))

    async def _send_delayed(self) -> None:
        while self._delayed:
            failure = self._failure()
            await asyncio.sleep(
                failure.delay_seconds if failure is not None and failure.kind is FailureKind.SLOW else 0
            )
            self._send_now(self._delayed.popleft())
        self._delaying = None
