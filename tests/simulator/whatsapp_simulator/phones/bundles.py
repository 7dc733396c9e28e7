"""Key bundles, which are needed to start a session with a device (a simulated phone or a client)."""

from __future__ import annotations

from whatsapp_simulator.network import Network
from whatsapp_simulator.protocol.binary import Node
from whatsapp_simulator.protocol.curve import KEY_TYPE
from whatsapp_simulator.protocol.jid import SERVER
from whatsapp_simulator.signal.device import PublishedKeys
from whatsapp_simulator.signal.ratchet import Bundle
from whatsapp_simulator.world.model import Device, Person

_MIN_PREKEYS = 5


def of_device(network: Network, person: Person, number: int) -> PublishedKeys | None:
    """Keys for a new session with a device (0: the phone), with a new prekey each time; None if it does not exist."""
    if number == 0:
        network.world.touch(person)
        return person.signal.publish(network.world.random)
    device = person.devices.get(number)
    return _of_client(network, person, device) if device else None


def _of_client(network: Network, person: Person, device: Device) -> PublishedKeys:
    prekey_id = next(iter(device.prekeys), None)
    prekey = None if prekey_id is None else device.prekeys.pop(prekey_id)
    network.world.touch(person)
    requested = any(key.startswith("notification") and key.endswith("encrypt") for key in device.pending)
    if len(device.prekeys) < _MIN_PREKEYS and not requested:
        left = Node("count", {"value": str(len(device.prekeys))})
        network.notify(person, device, "encrypt", SERVER, [left])
    signed = device.signed_prekey
    bundle = Bundle(device.registration_id, device.identity_key, signed.id, signed.public, prekey_id, prekey)
    return PublishedKeys(bundle, signed.signature)


def to_nodes(keys: PublishedKeys) -> list[Node]:
    """A bundle as the children of `<user>`."""
    bundle = keys.bundle
    nodes = [
        Node("registration", {}, bundle.registration_id.to_bytes(4, "big")),
        Node("type", {}, KEY_TYPE),
        Node("identity", {}, bundle.identity),
    ]
    if bundle.prekey_id is not None and bundle.prekey is not None:
        nodes.append(_key("key", bundle.prekey_id, bundle.prekey))
    signed = _key("skey", bundle.signed_prekey_id, bundle.signed_prekey)
    return [*nodes, Node("skey", {}, [*signed.children, Node("signature", {}, keys.signature)])]


def from_receipt(receipt: Node) -> Bundle | None:
    """The bundle in a client's retry receipt; None if it has none."""
    keys = receipt.child("keys")
    signed = keys.child("skey") if keys else None
    if keys is None or signed is None:
        return None
    prekey = keys.child("key")
    return Bundle(
        int.from_bytes(receipt.child_data("registration"), "big"),
        keys.child_data("identity"),
        int.from_bytes(signed.child_data("id"), "big"),
        signed.child_data("value"),
        int.from_bytes(prekey.child_data("id"), "big") if prekey else None,
        prekey.child_data("value") if prekey else None,
    )


def _key(tag: str, number: int, public: bytes) -> Node:
    return Node(tag, {}, [Node("id", {}, number.to_bytes(3, "big")), Node("value", {}, public)])
