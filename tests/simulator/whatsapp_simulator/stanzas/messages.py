"""Messages of clients: to the phones of the simulator, and on to the devices of other clients."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

from whatsapp_simulator.phones import receiving
from whatsapp_simulator.protocol.binary import Attrs, Node
from whatsapp_simulator.protocol.jid import SERVER, Jid
from whatsapp_simulator.stanzas.registry import Context, on
from whatsapp_simulator.world.model import Device, Person


@on("message")
def message(context: Context) -> None:
    """Confirm the message to the sender, and pass each encrypted copy on to its device."""
    sender, device = context.owner
    node, world = context.node, context.network.world
    to = node.jid("to")
    recipient = world.find(to)
    attrs: Attrs = {
        "class": "message",
        "id": node.get("id"),
        "from": to or SERVER,
        "t": str(world.now()),
    }
    if recipient is None:
        context.link.send(Node("ack", {**attrs, "error": "404"}))
        return
    if node.child("participants") is not None:
        attrs["phash"] = _devices_hash(sender, recipient)
    context.link.send(Node("ack", attrs))
    for address, encrypted in _copies(node):
        owner = world.find(address)
        if owner is None:
            continue
        if address.device == 0:
            incoming = receiving.Incoming(
                node.get("id"), sender, device, encrypted.get("type"), encrypted.data, world.now()
            )
            receiving.receive(context.network, owner, incoming)
        elif target := owner.devices.get(address.device):
            relayed = _relayed(context, sender, device, owner, recipient, encrypted)
            context.network.deliver(owner, target, relayed)


def _copies(node: Node) -> Iterator[tuple[Jid, Node]]:
    """The encrypted copies of a message by device; a retry has a single one for the device in `to`."""
    participants = node.child("participants")
    for target in participants.walk("to") if participants else [node]:
        address = target.jid("jid") or target.jid("to")
        encrypted = target.child("enc")
        if address is not None and encrypted is not None:
            yield address, encrypted


def _relayed(
    context: Context, sender: Person, device: Device, owner: Person, recipient: Person, encrypted: Node
) -> Node:
    node = context.node
    attrs: Attrs = {
        "from": sender.lid_jid(device.number),
        "id": node.get("id"),
        "t": str(context.network.world.now()),
        "type": node.get("type") or "text",
        "notify": sender.name,
        "addressing_mode": "lid",
    }
    if owner is sender:
        attrs |= {"recipient": recipient.lid_jid(), "peer_recipient_pn": recipient.phone_jid()}
    else:
        attrs["sender_pn"] = sender.phone_jid()
    if node.get("edit"):
        attrs["edit"] = node.get("edit")
    identity = node.child("device-identity")
    return Node("message", attrs, [encrypted, *([identity] if identity else [])])


def _devices_hash(sender: Person, recipient: Person) -> str:
    """A hash of all devices a message goes to; a client whose own differs asks for the devices again."""
    people = {person.phone: person for person in (sender, recipient)}.values()
    addresses = [(person.lid, number) for person in people for number in (0, *person.devices)]
    names = sorted(f"{user}.0:{number}@lid" for user, number in addresses)
    digest = hashlib.sha256("".join(names).encode()).digest()
    return "2:" + base64.b64encode(digest[:6]).decode().rstrip("=")
