"""Linking devices: the QR codes on offer, the codes that clients show, and the phone's part in both.

The state is touched between awaits only, by one task per linking; what a phone does waits for the client with a
deadline.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from whatsapp_simulator.network import Network
from whatsapp_simulator.protocol import adv, pair_code, wire
from whatsapp_simulator.protocol.binary import Attrs, Node
from whatsapp_simulator.protocol.curve import key_pair
from whatsapp_simulator.protocol.jid import SERVER
from whatsapp_simulator.server.link import Link
from whatsapp_simulator.world.model import Device, Person

_REFS = 6
_ANSWER_SECONDS = 15.0
_KEPT_REFS = 10_000


class PairingError(Exception):
    """A phone could not link a device. `code` is stable, `status` an HTTP status for it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(slots=True)
class _Code:
    """A client that shows a code for a phone number."""

    link: Link
    ref: bytes
    wrapped_key: bytes
    bundle: asyncio.Future[bytes] | None = None


class Pairing:
    """The linkings under way."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._links: dict[str, Link | None] = {}
        self._codes: dict[str, _Code] = {}

    def offer(self, link: Link) -> None:
        """Give a new client the refs for its QR codes."""
        random = self._network.world.random
        refs = ["2@" + random(48).hex() for _ in range(_REFS)]
        for ref in refs:
            self._links[ref] = link
        while len(self._links) > _KEPT_REFS:
            del self._links[next(iter(self._links))]
        shown = [Node("ref", {}, ref.encode()) for ref in refs]
        attrs: Attrs = {"from": SERVER, "id": random(6).hex(), "type": "set", "xmlns": "md"}
        link.send(Node("iq", attrs, [Node("pair-device", {}, shown)]))

    def withdraw(self, link: Link) -> None:
        """The client is gone: its QR codes and its code are worth nothing any more."""
        for ref, owner in self._links.items():
            if owner is link:
                self._links[ref] = None
        for phone, code in list(self._codes.items()):
            if code.link is link:
                del self._codes[phone]
                if code.bundle and not code.bundle.done():
                    code.bundle.set_exception(ConnectionError("the device is gone"))

    async def scan(self, phone: str, qr: str) -> Person:
        """The phone scans a QR code and links the device that shows it; PairingError with the reason if it cannot."""
        try:
            code = adv.parse_qr(qr)
        except adv.QrError as error:
            raise PairingError(422, "not-a-linking-code", str(error)) from None
        if code.ref not in self._links:
            raise PairingError(404, "unknown-code", "this QR code is not one of this network")
        link = self._links[code.ref]
        if link is None or link.registration is None:
            raise PairingError(410, "expired-code", "the device that showed this QR code is gone or already linked")
        if code.noise_key != link.noise_key or code.identity_key != link.registration.identity_key:
            raise PairingError(422, "not-a-linking-code", "the keys in the QR code are not those of the device")
        return await self._link_device(phone, link, code.adv_secret)

    def open_code(self, link: Link, phone: str, wrapped_key: bytes) -> bytes:
        """A client shows a code for this phone number; returns the ref for its next steps."""
        ref = self._network.world.random(16).hex().encode()
        self._codes[phone] = _Code(link, ref, wrapped_key)
        return ref

    def finish_code(self, phone: str, bundle: bytes) -> None:
        """A client answers the phone's step."""
        code = self._codes.get(phone)
        if code and code.bundle and not code.bundle.done():
            code.bundle.set_result(bundle)

    async def enter_code(self, phone: str, text: str) -> Person:
        """The phone's owner types the code that a client shows; PairingError with the reason if it does not link."""
        random = self._network.world.random
        try:
            plain = pair_code.normalize(text)
        except pair_code.CodeError as error:
            raise PairingError(422, "not-a-linking-code", str(error)) from None
        code = self._codes.get(phone)
        if code is None:
            raise PairingError(409, "no-code-pending", "no device shows a code for this phone number")
        account = self._network.world.account(phone).signal.identity
        ephemeral = key_pair(random(32))
        code.bundle = asyncio.get_running_loop().create_future()
        try:
            side = await asyncio.to_thread(
                pair_code.enter, plain, code.wrapped_key, account=account, ephemeral=ephemeral, random=random
            )
            code.link.send(self._code_entered(code.ref, side.wrapped, account.public))
            companion = side.open_bundle(await asyncio.wait_for(code.bundle, _ANSWER_SECONDS))
        except pair_code.CodeError as error:
            raise PairingError(422, "wrong-code", str(error)) from None
        except (TimeoutError, ConnectionError) as error:
            raise PairingError(504, "no-answer", f"the device did not answer: {error}") from None
        self._codes.pop(phone, None)
        registration = code.link.registration
        if registration is None or companion.identity_key != registration.identity_key:
            raise PairingError(410, "expired-code", "the device that showed this code is gone or already linked")
        return await self._link_device(phone, code.link, companion.adv_secret)

    def _code_entered(self, ref: bytes, wrapped: bytes, account_key: bytes) -> Node:
        world = self._network.world
        parts = [
            Node("link_code_pairing_ref", {}, ref),
            Node("link_code_pairing_wrapped_primary_ephemeral_pub", {}, wrapped),
            Node("primary_identity_pub", {}, account_key),
        ]
        attrs: Attrs = {
            "from": SERVER,
            "id": world.message_id(),
            "type": "link_code_companion_reg",
            "t": str(world.now()),
        }
        return Node("notification", attrs, [Node("link_code_companion_reg", {"stage": "primary_hello"}, parts)])

    async def _link_device(self, phone: str, link: Link, adv_secret: bytes) -> Person:
        world = self._network.world
        registration = link.registration
        if registration is None:
            raise PairingError(410, "expired-code", "the device is already linked")
        link.registration = None
        person = world.account(phone)
        number = person.next_device
        person.next_device += 1
        identity = adv.sign_device(
            person.signal.identity,
            registration.identity_key,
            adv_secret,
            key_index=number,
            timestamp=world.now(),
            random=world.random,
        )
        content = [
            Node("device-identity", {}, identity),
            Node("device", {"jid": person.phone_jid(number), "lid": person.lid_jid(number)}),
            Node("platform", {"name": "simulator"}),
        ]
        attrs: Attrs = {
            "from": SERVER,
            "id": world.random(6).hex(),
            "type": "set",
            "xmlns": "md",
            "t": str(world.now()),
        }
        try:
            answer = await link.ask(Node("iq", attrs, [Node("pair-success", {}, content)]), _ANSWER_SECONDS)
        except (TimeoutError, ConnectionError) as error:
            raise PairingError(504, "no-answer", f"the device did not answer: {error}") from None
        signed = answer.child("pair-device-sign", "device-identity")
        if signed is None or not self._right(signed.data, person, registration.identity_key):
            raise PairingError(502, "device-refused", f"the device refused to be linked ({_reason(answer)})")
        person.devices[number] = Device(
            number,
            link.noise_key,
            registration.identity_key,
            registration.registration_id,
            registration.signed_prekey,
            paired_at=world.clock(),
            last_active_at=world.clock(),
        )
        self._network.announce_devices(person, number)
        world.touch(person)
        link.dismiss(Node("stream:error", {"code": "515"}))
        return person

    @staticmethod
    def _right(identity: bytes, person: Person, device_key: bytes) -> bool:
        # The client leaves the account key out of its answer; the signature covers it all the same.
        try:
            return adv.device_signed(identity, person.signal.identity, device_key)
        except wire.WireError:
            return False


def _reason(answer: Node) -> str:
    error = answer.child("error")
    return f"{error.get('code')} {error.get('text')}" if error else "wrong signature"
