"""One client from its first byte to its last: handshake, login or linking, then stanza after stanza."""

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
from whatsapp_simulator.protocol.noise import Finished, NoiseError, ServerHandshake
from whatsapp_simulator.server.link import Link
from whatsapp_simulator.server.websocket import WebSocket
from whatsapp_simulator.stanzas import dispatch
from whatsapp_simulator.world.failures import Failure, FailureKind

_BAN_SECONDS = 3600
_GOING = {FailureKind.UNAVAILABLE: "503", FailureKind.BANNED: "402", FailureKind.OUTDATED: "405"}
_NOT_LINKED = "401"

logger = logging.getLogger(__name__)


class Chat:
    """The chat server: `serve` runs one client."""

    def __init__(self, network: Network, pairing: Pairing, identity: NoiseIdentity) -> None:
        self._network = network
        self._pairing = pairing
        self._identity = identity

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Run a client until it or the simulator closes the connection."""
        socket = WebSocket(reader, writer)
        if not await socket.accept():
            return
        try:
            link = self._link(socket, await self._handshake(socket))
            if not self._admit(link):
                # The client hangs up when it has read why; what it says until then is of no interest.
                while True:
                    await socket.frame()
            await self._converse(link, socket)
        except (EOFError, ConnectionError):
            return
        except (NoiseError, BinaryError, wire.WireError) as error:
            logger.warning("a client was cut off: %s", error)
            socket.abort()

    async def _handshake(self, socket: WebSocket) -> Finished:
        ephemeral = key_pair(self._network.world.random(32))
        handshake = ServerHandshake(await socket.prologue(), self._identity.static, ephemeral, self._identity.chain)
        socket.send(handshake.answer(await socket.frame()))
        return handshake.finish(await socket.frame())

    def _link(self, socket: WebSocket, finished: Finished) -> Link:
        def failure() -> Failure | None:
            return self._network.failures.current(link.person.phone if link.person else None)

        link = Link(socket, finished, self._network.tokens, failure)
        return link

    def _admit(self, link: Link) -> bool:
        """Log the client in or let it wait for a phone; False if it was told to go."""
        payload = client_payload.parse(link.payload)
        phone = payload.phone if isinstance(payload, Login) else None
        struck = self._network.failures.strike(phone, FailureKind.REFUSE, *_GOING)
        if struck is not None and struck.kind is FailureKind.REFUSE:
            link.abort()
            return False
        if struck is not None:
            link.dismiss(self._refusal(struck))
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
            link.dismiss(Node("failure", {"reason": _NOT_LINKED, "location": "simulator"}))
            return False
        before = self._network.links.get((person.phone, device.number))
        if before is not None:
            before.dismiss(replaced())
        link.person, link.device, link.connected_at = person, device, world.clock()
        self._network.links[person.phone, device.number] = link
        device.last_active_at = world.clock()
        world.touch(person)
        logger.info("%s logged in", link.label)
        attrs: Attrs = {"t": str(world.now()), "lid": person.lid_jid(device.number), "display_name": person.name}
        link.send(Node("success", attrs))
        struck = self._network.failures.strike(person.phone, FailureKind.DROP, FailureKind.REPLACED)
        if struck is not None:
            strike_open(link, struck)
        return True

    async def _converse(self, link: Link, socket: WebSocket) -> None:
        try:
            while True:
                node = link.receive(await socket.frame())
                if node is not None:
                    dispatch(self._network, self._pairing, link, node)
        finally:
            self._gone(link)

    def _gone(self, link: Link) -> None:
        link.closed()
        self._network.unlinked.discard(link)
        self._pairing.withdraw(link)
        if link.person and link.device:
            link.device.last_active_at = self._network.world.clock()
            key = (link.person.phone, link.device.number)
            if self._network.links.get(key) is link:
                del self._network.links[key]
            logger.info("%s went away", link.label)

    def _refusal(self, failure: Failure) -> Node:
        attrs = {"reason": _GOING[failure.kind], "location": "simulator"}
        if failure.kind is FailureKind.BANNED:
            left = _BAN_SECONDS if failure.until is None else int(failure.until - self._network.world.clock()) + 1
            attrs |= {"code": "101", "expire": str(left)}
        return Node("failure", attrs)


def replaced() -> Node:
    """Another client took this one's place."""
    return Node("stream:error", {"code": "401"}, [Node("conflict", {"type": "replaced"})])


def strike_open(link: Link, failure: Failure) -> None:
    """What a failure does to a connection that is open when it strikes."""
    match failure.kind:
        case FailureKind.DROP | FailureKind.REFUSE:
            link.abort()
        case FailureKind.REPLACED:
            link.dismiss(replaced())
        case FailureKind.LOGGED_OUT:
            link.dismiss(Node("stream:error", {"code": "401"}, [Node("conflict", {"type": "device_removed"})]))
        case FailureKind.UNAVAILABLE:
            link.dismiss(Node("stream:error", {"code": "503"}))
        case FailureKind.BANNED | FailureKind.OUTDATED:
            # The server tells at the next login, which follows at once.
            link.abort()
        case FailureKind.DEAF | FailureKind.SLOW:
            pass
