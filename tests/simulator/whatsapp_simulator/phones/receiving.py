"""A phone receives: decrypts, keeps texts in its inbox, and answers with receipts."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from whatsapp_simulator.network import Network
from whatsapp_simulator.phones import bundles, content
from whatsapp_simulator.protocol import wire
from whatsapp_simulator.protocol.binary import Attrs, Node
from whatsapp_simulator.signal.primitives import SignalError
from whatsapp_simulator.world.model import KEPT_ITEMS, KEPT_MESSAGES, Device, InboxItem, Person, ReceiptItem

_MAX_RETRIES = 5
_DELIVERED, _READ = "delivered", "read"
#: What the client calls its receipts; the ones that say that it has the message, seen or not.
_KINDS = {"": _DELIVERED, "inactive": _DELIVERED, "read": _READ, "read-self": _READ, "played": "played"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Incoming:
    """An encrypted message of somebody's device for a phone."""

    id: str
    sender: Person
    device: Device
    kind: str
    ciphertext: bytes
    timestamp: int


def receive(network: Network, phone: Person, message: Incoming) -> None:
    """Decrypt a message on a phone; what cannot be decrypted is asked for again."""
    if any(item.id == message.id for item in reversed(phone.inbox[-100:])):
        _send_receipt(network, phone, message, _DELIVERED)
        return
    world = network.world
    world.touch(phone)
    address = message.sender.lid_jid(message.device.number)
    try:
        plaintext = phone.signal.decrypt(address, message.kind, message.ciphertext, world.random)
        text = content.text_of(plaintext)
    except (SignalError, wire.WireError) as error:
        logger.info("%s cannot read %s from %s: %s", phone.phone, message.id, address, error)
        _ask_again(network, phone, message)
        return
    phone.retries.pop(message.id, None)
    if phone is message.sender:
        return
    if text is not None:
        keep(network, phone, message.id, message.sender, text)
    _send_receipt(network, phone, message, _DELIVERED)
    if phone.read_receipts:
        _send_receipt(network, phone, message, _READ)


def keep(network: Network, phone: Person, message_id: str, sender: Person, text: str) -> None:
    """Put a text into the inbox of a phone."""
    item = InboxItem(phone.take_index(), message_id, sender.phone, text, network.world.now())
    phone.inbox.append(item)
    del phone.inbox[:-KEPT_ITEMS]
    network.world.touch(phone)
    network.bell.ring(phone.phone)


def take_receipt(network: Network, phone: Person, reader: Person, receipt: Node) -> None:
    """A client sent a receipt for messages of this phone."""
    kind = _KINDS.get(receipt.get("type"))
    if kind is None:
        return
    listed = receipt.child("list")
    ids = [receipt.get("id"), *(item.get("id") for item in (listed.walk("item") if listed else ()))]
    for message_id in ids:
        item = ReceiptItem(phone.take_index(), message_id, reader.phone, kind, network.world.now())
        phone.receipts.append(item)
    del phone.receipts[:-KEPT_ITEMS]
    network.world.touch(phone)
    network.bell.ring(phone.phone)


def _send_receipt(network: Network, phone: Person, message: Incoming, kind: str) -> None:
    attrs: Attrs = {
        "from": phone.lid_jid(),
        "id": message.id,
        "t": str(network.world.now()),
        **({"type": kind} if kind != _DELIVERED else {}),
    }
    network.deliver(message.sender, message.device, Node("receipt", attrs))


def _ask_again(network: Network, phone: Person, message: Incoming) -> None:
    count = phone.retries.get(message.id, 0) + 1
    if count > _MAX_RETRIES:
        logger.warning("%s gives up on %s from %s", phone.phone, message.id, message.sender.phone)
        return
    phone.retries[message.id] = count
    while len(phone.retries) > KEPT_MESSAGES:
        del phone.retries[next(iter(phone.retries))]
    keys = bundles.to_nodes(phone.signal.publish(network.world.random))
    registration, *rest = keys
    retry = {"count": str(count), "id": message.id, "t": str(message.timestamp), "v": "1"}
    attrs: Attrs = {
        "from": phone.lid_jid(),
        "id": message.id,
        "t": str(network.world.now()),
        "type": "retry",
    }
    children = [Node("retry", retry), registration, Node("keys", {}, rest)]
    network.deliver(message.sender, message.device, Node("receipt", attrs, children))
