"""Receiving messages on a phone: decrypt them, store them in the inbox, and send receipts."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from whatsapp_simulator.content import reading
from whatsapp_simulator.content.model import Content
from whatsapp_simulator.network import Network
from whatsapp_simulator.phones import app_state, bundles, history, inbox
from whatsapp_simulator.protocol import wire
from whatsapp_simulator.protocol.binary import Attrs, Node
from whatsapp_simulator.protocol.jid import parse
from whatsapp_simulator.signal.primitives import SignalError
from whatsapp_simulator.world.model import MAX_ITEMS, MAX_MESSAGES, Device, Person, ReceiptItem

_MAX_RETRIES = 5
_DELIVERED, _READ = "delivered", "read"
#: Receipt type of the client → kind. Both "" and "inactive" mean that the message was delivered.
_KINDS = {"": _DELIVERED, "inactive": _DELIVERED, "read": _READ, "read-self": _READ, "played": "played"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EncryptedMessage:
    """An encrypted message from a device to a phone. chat: a group or `status@broadcast`, empty for a one-to-one chat.

    direct: the part that is encrypted for this phone only; shared: the part that is encrypted once for the whole chat.
    """

    id: str
    sender: Person
    device: Device
    timestamp: int
    chat: str
    direct: Node | None
    shared: Node | None


@dataclass(frozen=True, slots=True)
class _Decrypted:
    """The decrypted contents of a message, and whether it asks the phone for the app state keys."""

    contents: list[Content]
    requests_app_state_keys: bool


def receive(network: Network, phone: Person, message: EncryptedMessage) -> None:
    """Decrypt a message on a phone; if that fails, request it again."""
    if any(item.id == message.id for item in reversed(phone.inbox[-100:])):
        _send_receipt(network, phone, message, _DELIVERED)
        return
    network.world.touch(phone)
    try:
        decrypted = _open(network, phone, message)
    except (SignalError, wire.WireError) as exc:
        address = message.sender.lid_jid(message.device.number)
        logger.info("%s cannot decrypt %s from %s: %s", phone.phone, message.id, address, exc)
        _request_retry(network, phone, message)
        return
    phone.retries.pop(message.id, None)
    if phone is message.sender:
        if decrypted.requests_app_state_keys:
            app_state.share_key(network, phone, message.device)
        return
    for content in decrypted.contents:
        inbox.store(network, phone, inbox.DecryptedMessage(message.id, message.sender, message.chat, content))
    _send_receipt(network, phone, message, _DELIVERED)
    if phone.read_receipts:
        _send_receipt(network, phone, message, _READ)


def store_receipt(network: Network, phone: Person, reader: Person, receipt: Node, chat: str) -> None:
    """Store a client's receipt for messages of this phone; chat: as in `EncryptedMessage`."""
    kind = _KINDS.get(receipt.get("type"))
    if kind is None:
        return
    listed = receipt.child("list")
    ids = [receipt.get("id"), *(item.get("id") for item in (listed.walk("item") if listed else ()))]
    for message_id in ids:
        item = ReceiptItem(phone.assign_index(), message_id, reader.phone, kind, network.world.now(), chat)
        phone.receipts.append(item)
    del phone.receipts[:-MAX_ITEMS]
    network.world.touch(phone)
    network.notifier.notify(phone.phone)


def acknowledge(network: Network, phone: Person, known: history.KnownMessage, kind: str) -> None:
    """Send a read or played receipt of a phone to all devices of the message's author."""
    node = Node("receipt", _receipt(network, phone, known.id, known.chat) | _type(kind))
    for device in list(known.author.devices.values()):
        network.deliver(known.author, device, node)


def _send_receipt(network: Network, phone: Person, message: EncryptedMessage, kind: str) -> None:
    attrs = _receipt(network, phone, message.id, message.chat) | _type(kind)
    network.deliver(message.sender, message.device, Node("receipt", attrs))


def _type(kind: str) -> Attrs:
    return {} if kind == _DELIVERED else {"type": kind}


def _open(network: Network, phone: Person, message: EncryptedMessage) -> _Decrypted:
    address, random = message.sender.lid_jid(message.device.number), network.world.random
    plaintexts = []
    if message.direct is not None:
        kind = message.direct.get("type")
        plaintext = phone.signal.decrypt(address, kind, message.direct.data, random)
        plaintexts.append(plaintext)
        if message.chat and (distribution := reading.sender_key(plaintext)):
            phone.signal.store_sender_key(message.chat, address, distribution)
    if message.shared is not None:
        plaintexts.append(phone.signal.decrypt_for_group(message.chat, address, message.shared.data))
    contents = [content for plaintext in plaintexts if (content := reading.read(plaintext))]
    return _Decrypted(contents, any(reading.requests_app_state_keys(plaintext) for plaintext in plaintexts))


def _receipt(network: Network, phone: Person, message_id: str, chat: str) -> Attrs:
    attrs: Attrs = {"id": message_id, "t": str(network.world.now())}
    if not chat:
        return attrs | {"from": phone.lid_jid()}
    return attrs | {"from": parse(chat), "participant": phone.lid_jid()}


def _request_retry(network: Network, phone: Person, message: EncryptedMessage) -> None:
    count = phone.retries.get(message.id, 0) + 1
    if count > _MAX_RETRIES:
        logger.warning("%s cannot decrypt %s from %s: no retries left", phone.phone, message.id, message.sender.phone)
        return
    phone.retries[message.id] = count
    while len(phone.retries) > MAX_MESSAGES:
        del phone.retries[next(iter(phone.retries))]
    keys = bundles.to_nodes(phone.signal.publish(network.world.random))
    registration, *rest = keys
    retry = {"count": str(count), "id": message.id, "t": str(message.timestamp), "v": "1"}
    attrs = _receipt(network, phone, message.id, message.chat) | {"type": "retry"}
    children = [Node("retry", retry), registration, Node("keys", {}, rest)]
    network.deliver(message.sender, message.device, Node("receipt", attrs, children))
