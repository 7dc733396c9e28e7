"""Prekeys: clients upload their own and fetch those of others."""

from __future__ import annotations

from whatsapp_simulator.network import Network
from whatsapp_simulator.phones import bundles
from whatsapp_simulator.protocol.binary import Node
from whatsapp_simulator.protocol.client_payload import SignedPreKey
from whatsapp_simulator.protocol.jid import SERVER
from whatsapp_simulator.stanzas.registry import Context, IqError, on_iq


@on_iq("encrypt", "set")
def upload(context: Context) -> list[Node]:
    """Store the client's prekeys."""
    person, device = context.owner
    keys, signed = context.node.child("list"), context.node.child("skey")
    if keys is None or signed is None:
        raise IqError(400, "bad-request")
    for key in keys.walk("key"):
        device.prekeys[_id(key)] = key.child_data("value")
    device.signed_prekey = SignedPreKey(_id(signed), signed.child_data("value"), signed.child_data("signature"))
    device.registration_id = int.from_bytes(context.node.child_data("registration"), "big")
    context.network.world.touch(person)
    return []


@on_iq("encrypt", "get")
def query(context: Context) -> list[Node]:
    """Return the number of the client's remaining prekeys (`count`), or the keys of others (`key`)."""
    if context.node.child("count") is not None:
        return [Node("count", {"value": str(len(context.owner[1].prekeys))})]
    keys = context.node.child("key")
    if keys is None:
        raise IqError(400, "bad-request")
    return [Node("list", {}, [_user(context.network, user) for user in keys.walk("user")])]


def _user(network: Network, user: Node) -> Node:
    address = user.jid("jid")
    person = network.world.find(address)
    keys = bundles.of_device(network, person, address.device) if person and address else None
    attrs = {"jid": address or SERVER}
    if keys is None:
        return Node("user", attrs, [Node("error", {"code": "404", "text": "item-not-found"})])
    return Node("user", {**attrs, "t": str(network.world.now())}, bundles.to_nodes(keys))


def _id(key: Node) -> int:
    return int.from_bytes(key.child_data("id"), "big")
