"""Linking devices by QR code or pairing code, including the phone's side of both.

State changes only between awaits, by one task per device that is being linked. Phones wait for the client with a
timeout.
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
_MAX_REFS = 10_000


class PairingError(Exception):
    """A phone could not link a device. `code` is a stable error code, `status` the HTTP status for it."""

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
    """The devices that are being linked."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._links: dict[str, Link | None] = {}
        self._codes: dict[str, _Code] = {}

    def offer(self, link: Link) -> None:
        """Send a new client the refs for its QR codes."""
        random = self._network.world.random
        refs = ["2@" + random(48).hex() for _ in range(_REFS)]
        for ref in refs:
            self._links[ref] = link
        while len(self._links) > _MAX_REFS:
            del self._links[next(iter(self._links))]
        shown = [Node("ref", {}, ref.encode()) for ref in refs]
        attrs: Attrs = {"from": SERVER, "id": random(6).hex(), "type": "set", "xmlns": "md"}
        link.send(Node("iq", attrs, [Node("pair-device", {}, shown)]))

    def withdraw(self, link: Link) -> None:
        """Invalidate the QR codes and the pairing code of a client that has disconnected."""
        for ref, owner in self._links.items():
            if owner is link:
                self._links[ref] = None
        for phone, code in list(self._codes.items()):
            if code.link is link:
                del self._codes[phone]
                if code.bundle and not code.bundle.done():
                    code.bundle.set_exception(ConnectionError("the device has disconnected"))

    async def scan(self, phone: str, qr: str) -> Person:
        """Scan a QR code with the phone and link the device that shows it; PairingError if that fails."""
        try:
            code = adv.parse_qr(qr)
        except adv.QrError as exc:
            raise PairingError(422, "not-a-linking-code", str(exc)) from None
        if code.ref not in self._links:
            raise PairingError(404, "unknown-code", "this QR code does not belong to this network")
        link = self._links[code.ref]
        if link is None or link.registration is None:
            raise PairingError(410, "expired-code", "the device of this QR code has disconnected or is already linked")
        if code.noise_key != link.noise_key or code.identity_key != link.registration.identity_key:
            raise PairingError(422, "not-a-linking-code", "the keys in the QR code do not match the device")
        return await self._link_device(phone, link, code.adv_secret)

    def open_code(self, link: Link, phone: str, wrapped_key: bytes) -> bytes:
        """Register the pairing code of a client for this phone number; returns the ref for the next steps."""
        ref = self._network.world.random(16).hex().encode()
        self._codes[phone] = _Code(link, ref, wrapped_key)
        return ref

    def finish_code(self, phone: str, bundle: bytes) -> None:
        """Handle the client's answer to the phone."""
        code = self._codes.get(phone)
        if code and code.bundle and not code.bundle.done():
            code.bundle.set_result(bundle)

    async def enter_code(self, phone: str, text: str) -> Person:
        """Enter the pairing code of a client on the phone and link the client; PairingError if that fails."""
        random = self._network.world.random
        try:
            plain = pair_code.normalize(text)
        except pair_code.CodeError as exc:
            raise PairingError(422, "not-a-linking-code", str(exc)) from None
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
        except pair_code.CodeError as exc:
            raise PairingError(422, "wrong-code", str(exc)) from None
        except (TimeoutError, ConnectionError) as exc:
            raise PairingError(504, "no-answer", f"the device did not answer: {exc}") from None
        self._codes.pop(phone, None)
        registration = code.link.registration
        if registration is None or companion.identity_key != registration.identity_key:
            raise PairingError(410, "expired-code", "the device of this code has disconnected or is already linked")
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
        except (TimeoutError, ConnectionError) as exc:
            raise PairingError(504, "no-answer", f"the device did not answer: {exc}") from None
        signed = answer.child("pair-device-sign", "device-identity")
        if signed is None or not self._has_valid_signature(signed.data, person, registration.identity_key):
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
        link.close_with(Node("stream:error", {"code": "515"}))
        return person

    @staticmethod
    def _has_valid_signature(identity: bytes, person: Person, device_key: bytes) -> bool:
        # The client's answer omits the account key, but the signature covers it.
        try:
            return adv.device_signed(identity, person.signal.identity, device_key)
        except wire.WireError:
            return False


def _reason(answer: Node) -> str:
    error = answer.child("error")
    return f"{error.get('code')} {error.get('text')}" if error else "wrong signature"
