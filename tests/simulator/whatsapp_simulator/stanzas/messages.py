"""Messages from clients: delivered to the simulated phones and to the devices of other clients."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

from whatsapp_simulator.phones import receiving
from whatsapp_simulator.protocol.binary import Attrs, Node
from whatsapp_simulator.protocol.jid import BROADCAST, GROUP, NEWSLETTER, SERVER, Jid
from whatsapp_simulator.stanzas import channels
from whatsapp_simulator.stanzas.registry import Context, on
from whatsapp_simulator.world.groups import GroupError
from whatsapp_simulator.world.model import Device, Person


@on("message")
def message(context: Context) -> None:
    """Ack the message to the sender, and deliver each encrypted copy to its device."""
    sender, device = context.owner
    node, world = context.node, context.network.world
    to = node.jid("to")
    if to is not None and to.server == NEWSLETTER:
        channels.message(context, to)
        return
    attrs: Attrs = {
        "class": "message",
        "id": node.get("id"),
        "from": to or SERVER,
        "t": str(world.now()),
    }
    readers = _readers(context, sender, to)
    if isinstance(readers, int):
        context.link.send(Node("ack", {**attrs, "error": str(readers)}))
        return
    if readers and node.child("participants") is not None:
        attrs["phash"] = _devices_hash([sender, *readers])
    context.link.send(Node("ack", attrs))
    if to is not None and to.server in (GROUP, BROADCAST):
        _to_many(context, sender, device, to, readers)
    else:
        _to_one(context, sender, device, readers[0])


def _readers(context: Context, sender: Person, to: Jid | None) -> list[Person] | int:
    """The recipients of a message, or the error code for its sender."""
    world = context.network.world
    if to is not None and to.server == BROADCAST:
        return []
    if to is not None and to.server == GROUP:
        group = world.groups.find(to)
        if group is None:
            return 404
        try:
            group.require_member(sender.phone)
            if group.announce:
                group.require_admin(sender.phone)
        except GroupError as exc:
            return exc.status
        return [person for phone in group.members if (person := world.get(phone))]
    recipient = world.find(to)
    return 404 if recipient is None else [recipient]


def _to_one(context: Context, sender: Person, device: Device, recipient: Person) -> None:
    world, node = context.network.world, context.node
    for address, encrypted in _copies(node):
        owner = world.find(address)
        if owner is None:
            continue
        if address.device == 0:
            incoming = receiving.EncryptedMessage(node.get("id"), sender, device, world.now(), "", encrypted, None)
            receiving.receive(context.network, owner, incoming)
        elif target := owner.devices.get(address.device):
            attrs = _relayed(context, sender, device)
            if owner is sender:
                attrs |= {"recipient": recipient.lid_jid(), "peer_recipient_pn": recipient.phone_jid()}
            else:
                attrs["sender_pn"] = sender.phone_jid()
            attrs["from"] = sender.lid_jid(device.number)
            context.network.deliver(owner, target, Node("message", attrs, [encrypted, *_identity(node)]))


def _to_many(context: Context, sender: Person, device: Device, chat: Jid, readers: list[Person]) -> None:
    """Deliver to a group or status: the part that is encrypted for all, and the copies for single devices, if any."""
    network, node = context.network, context.node
    shared = next((part for part in node.walk("enc") if part.get("type") == "skmsg"), None)
    people = {person.phone: person for person in readers} if shared else {}
    copies: dict[tuple[str, int], Node] = {}
    for address, encrypted in _copies(node):
        if (person := network.world.find(address)) is not None:
            people[person.phone] = person
            copies[person.phone, address.device] = encrypted
    attrs = _relayed(context, sender, device)
    attrs |= {"from": chat, "participant": sender.lid_jid(device.number), "participant_pn": sender.phone_jid()}
    for person in people.values():
        direct = copies.get((person.phone, 0))
        if direct or shared:
            incoming = receiving.EncryptedMessage(
                node.get("id"), sender, device, network.world.now(), str(chat), direct, shared
            )
            receiving.receive(network, person, incoming)
        for number, target in list(person.devices.items()):
            parts = [part for part in (copies.get((person.phone, number)), shared) if part]
            if parts and target is not device:
                network.deliver(person, target, Node("message", attrs, [*parts, *_identity(node)]))


def _copies(node: Node) -> Iterator[tuple[Jid, Node]]:
    """The encrypted copies of a message by device; a retry has only one, for `participant` or `to`."""
    participants = node.child("participants")
    for target in participants.walk("to") if participants else [node]:
        address = target.jid("jid") or target.jid("participant") or target.jid("to")
        encrypted = target.child("enc")
        if address is not None and encrypted is not None:
            yield address, encrypted


def _identity(node: Node) -> list[Node]:
    identity = node.child("device-identity")
    return [identity] if identity else []


def _relayed(context: Context, sender: Person, device: Device) -> Attrs:
    node = context.node
    attrs: Attrs = {
        "id": node.get("id"),
        "t": str(context.network.world.now()),
        "type": node.get("type") or "text",
        "notify": sender.name,
        "addressing_mode": "lid",
    }
    if node.get("edit"):
        attrs["edit"] = node.get("edit")
    return attrs


def _devices_hash(people: list[Person]) -> str:
    """A hash of all recipient devices; a client with a different hash queries the devices again."""
    addresses = [
        (person.lid, number)
        for person in {person.phone: person for person in people}.values()
        for number in (0, *person.devices)
    ]
    names = sorted(f"{user}.0:{number}@lid" for user, number in addresses)
    digest = hashlib.sha256("".join(names).encode()).digest()
    return "2:" + base64.b64encode(digest[:6]).decode().rstrip("=")
