"""Sending messages from a phone: to other phones, and encrypted to all linked devices, including its own."""

from __future__ import annotations

from collections.abc import Iterable

from whatsapp_simulator.content import reading, writing
from whatsapp_simulator.content.model import Content
from whatsapp_simulator.network import Network
from whatsapp_simulator.phones import bundles, inbox
from whatsapp_simulator.protocol.binary import Attrs, Node
from whatsapp_simulator.protocol.jid import STATUS, Jid, parse
from whatsapp_simulator.signal.ratchet import Bundle
from whatsapp_simulator.world.groups import Group
from whatsapp_simulator.world.model import MAX_MESSAGES, Device, Person, SentMessage

_MAX_RETRIES = 5


def send(network: Network, sender: Person, to: Person, content: Content, *, withheld: bool = False) -> str:
    """Send a message from a phone to a person; returns its id. withheld: see `_placeholder`."""
    message_id = _store_sent(network, sender, _message(network, content, to=to.phone))
    if to is not sender:
        inbox.store(network, to, inbox.DecryptedMessage(message_id, sender, "", content))
    for device in list(to.devices.values()):
        if withheld:
            _placeholder(network, sender, to, device, message_id)
        else:
            _send(network, sender, to, device, message_id, retry=0)
    for device in list(sender.devices.values()) if to is not sender else ():
        _send(network, sender, sender, device, message_id, retry=0)
    return message_id


def redeliver(network: Network, sender: Person, to: Person, message_id: str) -> None:
    """Send a message to a person's devices again under the same id, encrypted again so that it can be decrypted."""
    for device in list(to.devices.values()):
        _send(network, sender, to, device, message_id, retry=0)


def post(network: Network, sender: Person, group: Group, content: Content) -> str:
    """Send a message to a group; returns its id. GroupError if the sender may not write there."""
    group.require_member(sender.phone)
    if group.announce:
        group.require_admin(sender.phone)
    members = [person for phone in group.members if (person := network.world.get(phone))]
    return _share(network, sender, group.jid, members, content)


def post_status(network: Network, sender: Person, viewers: Iterable[Person], content: Content) -> str:
    """Post a status for these people; returns the message id."""
    readers = [sender, *(person for person in viewers if person is not sender)]
    message_id = _share(network, sender, STATUS, readers, content)
    sender.sent[message_id].viewers.extend(person.phone for person in readers)
    return message_id


def send_peer(network: Network, phone: Person, device: Device, plaintext: bytes) -> None:
    """Send a message from a phone to its own device that is meant for the client only."""
    message = SentMessage(phone.phone, plaintext, network.world.now(), peer=True)
    _send(network, phone, phone, device, _store_sent(network, phone, message), retry=0)


def send_again(network: Network, sender: Person, to: Person, device: Device, receipt: Node) -> None:
    """Handle a retry receipt: start a new session with the device and send the message again."""
    message_id = receipt.get("id")
    message = sender.sent.get(message_id)
    retry = receipt.child("retry")
    count = int(retry.get("count") or 1) if retry else 1
    if message is None or count > _MAX_RETRIES:
        return
    if to is not sender and not message.chat and message.to != to.phone:
        return
    _start_session(network, sender, to, device, bundles.from_receipt(receipt))
    _send(network, sender, to, device, message_id, retry=count)


def _message(network: Network, content: Content, *, to: str = "", chat: str = "") -> SentMessage:
    now = network.world.now()
    return SentMessage(
        to,
        writing.write(content, now=now),
        now,
        chat,
        writing.stanza_type(content),
        writing.edit_attribute(content),
        writing.media_type(content),
    )


def _store_sent(network: Network, sender: Person, message: SentMessage) -> str:
    message_id = network.world.message_id()
    sender.sent[message_id] = message
    while len(sender.sent) > MAX_MESSAGES:
        del sender.sent[next(iter(sender.sent))]
    network.world.touch(sender)
    return message_id


def _send(network: Network, sender: Person, to: Person, device: Device, message_id: str, *, retry: int) -> None:
    """Encrypt a message for one device."""
    message = sender.sent[message_id]
    plaintext = message.plaintext
    if message.chat:
        key = sender.signal.sender_key(message.chat, network.world.random)
        plaintext = writing.with_sender_key(plaintext, message.chat, key.distribution())
    elif to is sender and message.to != sender.phone:
        partner = network.world.get(message.to)
        plaintext = writing.device_sent(plaintext, str(partner.lid_jid() if partner else message.to))
    encrypted = _encrypt(network, sender, to, device, plaintext, message)
    if retry:
        encrypted.attrs = {**encrypted.attrs, "count": str(retry)}
    stanza = Node("message", _attrs(network, sender, to, message_id), [encrypted])
    network.deliver(to, device, stanza)
    network.world.touch(sender)


def _share(network: Network, sender: Person, chat: Jid, readers: list[Person], content: Content) -> str:
    """Encrypt a message once for all devices in a chat, and send the key to those that do not have it yet."""
    random = network.world.random
    message = _message(network, content, chat=str(chat))
    message_id = _store_sent(network, sender, message)
    key = sender.signal.sender_key(message.chat, random)
    distribution = writing.with_sender_key(b"", message.chat, key.distribution())
    attrs = _encryption("skmsg", message)
    shared = Node("enc", attrs, key.encrypt(message.plaintext, random))
    decrypted = inbox.DecryptedMessage(message_id, sender, message.chat, reading.read(message.plaintext) or content)
    for reader in readers:
        if reader is not sender:
            inbox.store(network, reader, decrypted)
        for device in list(reader.devices.values()):
            parts = [shared]
            address = str(reader.lid_jid(device.number))
            if address not in key.shared:
                parts = [_encrypt(network, sender, reader, device, distribution, message), shared]
                key.shared.append(address)
            network.deliver(reader, device, Node("message", _attrs(network, sender, reader, message_id), parts))
    return message_id


def _placeholder(network: Network, sender: Person, to: Person, device: Device, message_id: str) -> None:
    """Send the placeholder that linked devices get for a view-once message today, without its content."""
    attrs = _attrs(network, sender, to, message_id)
    network.deliver(to, device, Node("message", attrs, [Node("unavailable", {"type": "view_once"})]), ack_confirms=True)


def _attrs(network: Network, sender: Person, to: Person, message_id: str) -> Attrs:
    message = sender.sent[message_id]
    attrs: Attrs = {
        "id": message_id,
        "t": str(message.timestamp),
        "type": message.kind,
        "notify": sender.name,
        "addressing_mode": "lid",
    }
    if message.edit:
        attrs["edit"] = message.edit
    if message.peer:
        return attrs | {"from": sender.lid_jid(), "category": "peer"}
    if message.chat:
        more: Attrs = {"from": parse(message.chat), "participant": sender.lid_jid()}
        return attrs | more | {"participant_pn": sender.phone_jid()}
    if to is sender:
        partner = network.world.get(message.to) or sender
        return attrs | {
            "from": sender.lid_jid(),
            "recipient": partner.lid_jid(),
            "peer_recipient_pn": partner.phone_jid(),
        }
    return attrs | {"from": sender.lid_jid(), "sender_pn": sender.phone_jid()}


def _encrypt(
    network: Network, sender: Person, to: Person, device: Device, plaintext: bytes, message: SentMessage
) -> Node:
    address = to.lid_jid(device.number)
    if not sender.signal.has_session(address):
        _start_session(network, sender, to, device, None)
    kind, ciphertext = sender.signal.encrypt(address, plaintext, network.world.random)
    return Node("enc", _encryption(kind, message), ciphertext)


def _encryption(kind: str, message: SentMessage) -> Attrs:
    attrs: Attrs = {"v": "2", "type": kind}
    if message.media_type:
        attrs["mediatype"] = message.media_type
    return attrs


def _start_session(network: Network, sender: Person, to: Person, device: Device, bundle: Bundle | None) -> None:
    if bundle is None:
        keys = bundles.of_device(network, to, device.number)
        if keys is None:
            raise LookupError(f"{to.phone} has no device {device.number}")
        bundle = keys.bundle
    sender.signal.start_session(to.lid_jid(device.number), bundle, network.world.random)
