"""The lifetime of a client connection: handshake, login or linking, then one stanza after another."""

from __future__ import annotations

import asyncio
import logging

from whatsapp_simulator.keys import NoiseIdentity
from whatsapp_simulator.network import Network
from whatsapp_simulator.pairing import Pairing
from whatsapp_simulator.protocol import client_payload, wire
from whatsapp_simulator.protocol.binary import Attrs, BinaryError, Node
from whatsapp_simulator.protocol.client_payload import Login, Registration
from whatsapp_simulator.protocol.curve import key_pair
from whatsapp_simulator.protocol.noise import HandshakeResult, NoiseError, ServerHandshake
from whatsapp_simulator.server.link import Link
from whatsapp_simulator.server.websocket import WebSocket
from whatsapp_simulator.stanzas import dispatch
from whatsapp_simulator.world.failures import Failure, FailureKind

_BAN_SECONDS = 3600
_REFUSAL_REASONS = {FailureKind.UNAVAILABLE: "503", FailureKind.BANNED: "402", FailureKind.OUTDATED: "405"}
_NOT_LINKED = "401"

logger = logging.getLogger(__name__)


class ChatServer:
    """The chat server; `serve` handles one client."""

    def __init__(self, network: Network, pairing: Pairing, identity: NoiseIdentity) -> None:
        self._network = network
        self._pairing = pairing
        self._identity = identity

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle a client until it or the simulator closes the connection."""
        socket = WebSocket(reader, writer)
        if not await socket.accept():
            return
        try:
            link = self._link(socket, await self._handshake(socket))
            if not self._admit(link):
                # The client disconnects once it has read the reason; ignore what it sends until then.
                while True:
                    await socket.frame()
            await self._converse(link, socket)
        except (EOFError, ConnectionError):
            return
        except (NoiseError, BinaryError, wire.WireError) as exc:
            logger.warning("disconnected a client: %s", exc)
            socket.abort()

    async def _handshake(self, socket: WebSocket) -> HandshakeResult:
        ephemeral = key_pair(self._network.world.random(32))
        handshake = ServerHandshake(await socket.prologue(), self._identity.static, ephemeral, self._identity.chain)
        socket.send(handshake.answer(await socket.frame()))
        return handshake.finish(await socket.frame())

    def _link(self, socket: WebSocket, finished: HandshakeResult) -> Link:
        def failure() -> Failure | None:
            return self._network.failures.current(link.person.phone if link.person else None)

        link = Link(socket, finished, self._network.tokens, failure)
        return link

    def _admit(self, link: Link) -> bool:
        """Log the client in, or let it wait to be linked; False if it was refused."""
        payload = client_payload.parse(link.payload)
        phone = payload.phone if isinstance(payload, Login) else None
        failure = self._network.failures.consume(phone, FailureKind.REFUSE, *_REFUSAL_REASONS)
        if failure is not None and failure.kind is FailureKind.REFUSE:
            link.abort()
            return False
        if failure is not None:
            link.close_with(self._refusal(failure))
            return False
        if isinstance(payload, Registration):
            link.registration = payload
            self._network.unlinked.add(link)
            self._pairing.offer(link)
            return True
        return self._log_in(link, payload)

    def _log_in(self, link: Link, login: Login) -> bool:
        world = self._network.world
        person = world.get(login.phone)
        device = person.devices.get(login.device) if person else None
        if person is None or device is None or device.noise_key != link.noise_key:
            link.close_with(Node("failure", {"reason": _NOT_LINKED, "location": "simulator"}))
            return False
        before = self._network.links.get((person.phone, device.number))
        if before is not None:
            before.close_with(replaced())
        link.person, link.device, link.connected_at = person, device, world.clock()
        self._network.links[person.phone, device.number] = link
        device.last_active_at = world.clock()
        world.touch(person)
        logger.info("%s logged in", link.label)
        attrs: Attrs = {"t": str(world.now()), "lid": person.lid_jid(device.number), "display_name": person.name}
        link.send(Node("success", attrs))
        failure = self._network.failures.consume(person.phone, FailureKind.DROP, FailureKind.REPLACED)
        if failure is not None:
            apply_to_open_link(link, failure)
        return True

    async def _converse(self, link: Link, socket: WebSocket) -> None:
        try:
            while True:
                node = link.receive(await socket.frame())
                if node is not None:
                    dispatch(self._network, self._pairing, link, node)
        finally:
            self._disconnected(link)

    def _disconnected(self, link: Link) -> None:
        link.closed()
        self._network.unlinked.discard(link)
        self._pairing.withdraw(link)
        if link.person and link.device:
            link.device.last_active_at = self._network.world.clock()
            key = (link.person.phone, link.device.number)
            if self._network.links.get(key) is link:
                del self._network.links[key]
            logger.info("%s disconnected", link.label)

    def _refusal(self, failure: Failure) -> Node:
        attrs = {"reason": _REFUSAL_REASONS[failure.kind], "location": "simulator"}
        if failure.kind is FailureKind.BANNED:
            left = _BAN_SECONDS if failure.until is None else int(failure.until - self._network.world.clock()) + 1
            attrs |= {"code": "101", "expire": str(left)}
        return Node("failure", attrs)


def replaced() -> Node:
    """The stream error for a client whose session was taken over by another client."""
    return Node("stream:error", {"code": "401"}, [Node("conflict", {"type": "replaced"})])


def apply_to_open_link(link: Link, failure: Failure) -> None:
    """Apply a failure to an open connection."""
    match failure.kind:
        case FailureKind.DROP | FailureKind.REFUSE:
            link.abort()
        case FailureKind.REPLACED:
            link.close_with(replaced())
        case FailureKind.LOGGED_OUT:
            link.close_with(Node("stream:error", {"code": "401"}, [Node("conflict", {"type": "device_removed"})]))
        case FailureKind.UNAVAILABLE:
            link.close_with(Node("stream:error", {"code": "503"}))
        case FailureKind.BANNED | FailureKind.OUTDATED:
            # The client gets the reason at its next login, which follows immediately.
            link.abort()
        case FailureKind.DEAF | FailureKind.SLOW:
            pass
