"""A phone sends: to the other person's phone, and encrypted to each device linked to it."""

from __future__ import annotations

from whatsapp_simulator.network import Network
from whatsapp_simulator.phones import bundles, content, receiving
from whatsapp_simulator.protocol.binary import Attrs, Node
from whatsapp_simulator.signal.ratchet import Bundle
from whatsapp_simulator.world.model import KEPT_MESSAGES, Device, Person, SentMessage

_MAX_RETRIES = 5


def send_text(network: Network, sender: Person, to: Person, text: str) -> str:
    """Send a text from one phone to somebody; returns the message id."""
    world = network.world
    message = SentMessage(to.phone, content.text_message(text), world.now())
    message_id = world.message_id()
    sender.sent[message_id] = message
    while len(sender.sent) > KEPT_MESSAGES:
        del sender.sent[next(iter(sender.sent))]
    receiving.keep(network, to, message_id, sender, text)
    for device in list(to.devices.values()):
        _send(network, sender, to, device, message_id, retry=0)
    world.touch(sender)
    return message_id


def send_again(network: Network, sender: Person, to: Person, device: Device, receipt: Node) -> None:
    """A device could not decrypt a message: start a new session with it and send the message once more."""
    message_id = receipt.get("id")
    message = sender.sent.get(message_id)
    retry = receipt.child("retry")
    count = int(retry.get("count") or 1) if retry else 1
    if message is None or message.to != to.phone or count > _MAX_RETRIES:
        return
    _start_session(network, sender, to, device, bundles.from_receipt(receipt))
    _send(network, sender, to, device, message_id, retry=count)


def _send(network: Network, sender: Person, to: Person, device: Device, message_id: str, *, retry: int) -> None:
    world = network.world
    address = to.lid_jid(device.number)
    if not sender.signal.has_session(address):
        _start_session(network, sender, to, device, None)
    message = sender.sent[message_id]
    kind, ciphertext = sender.signal.encrypt(address, message.plaintext, world.random)
    encryption = {"v": "2", "type": kind, **({"count": str(retry)} if retry else {})}
    attrs: Attrs = {
        "from": sender.lid_jid(),
        "sender_pn": sender.phone_jid(),
        "id": message_id,
        "t": str(message.timestamp),
        "type": "text",
        "notify": sender.name,
        "addressing_mode": "lid",
    }
    network.deliver(to, device, Node("message", attrs, [Node("enc", encryption, ciphertext)]))
    world.touch(sender)


def _start_session(network: Network, sender: Person, to: Person, device: Device, bundle: Bundle | None) -> None:
    if bundle is None:
        keys = bundles.of_device(network, to, device.number)
        if keys is None:
            raise LookupError(f"{to.phone} has no device {device.number}")
        bundle = keys.bundle
    sender.signal.start_session(to.lid_jid(device.number), bundle, network.world.random)
