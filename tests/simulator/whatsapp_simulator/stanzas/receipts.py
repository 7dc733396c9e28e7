"""Receipts from clients: delivered, read, viewed, and retry."""

from __future__ import annotations

from whatsapp_simulator.network import pending_key
from whatsapp_simulator.phones import receiving, sending
from whatsapp_simulator.protocol.binary import Attrs, Node
from whatsapp_simulator.protocol.jid import BROADCAST, GROUP, NEWSLETTER, SERVER, Jid
from whatsapp_simulator.stanzas import channels
from whatsapp_simulator.stanzas.registry import Context, on


@on("receipt")
def receipt(context: Context) -> None:
    """Ack the receipt and forward it to the author of the message."""
    node, network = context.node, context.network
    to = node.jid("to")
    kind = node.get("type")
    attrs: Attrs = {"class": "receipt", "id": node.get("id"), "from": to or SERVER}
    if kind:
        attrs["type"] = kind
    context.link.send(Node("ack", attrs))
    if kind != "retry":
        network.confirm(context.link, pending_key("message", node))
    if to is None:
        return
    if to.server == NEWSLETTER:
        channels.viewed(context, to)
    elif to.server in (GROUP, BROADCAST):
        if (author := node.jid("participant")) is not None:
            _forward(context, author, to)
    else:
        _forward(context, to, None)


def _forward(context: Context, author: Jid, chat: Jid | None) -> None:
    """Forward a receipt to the author of its messages; chat: their group or `status@broadcast`."""
    reader, device = context.owner
    node, network = context.node, context.network
    kind = node.get("type")
    person = network.world.find(author)
    if person is None:
        return
    if author.device == 0 and kind == "retry":
        sending.send_again(network, person, reader, device, node)
    elif person is reader:
        return
    elif author.device == 0:
        receiving.store_receipt(network, person, reader, node, str(chat or ""))
    elif target := person.devices.get(author.device):
        own = reader.lid_jid(device.number)
        forwarded: Attrs = {"from": chat, "participant": own} if chat else {"from": own}
        forwarded |= {"id": node.get("id"), "t": str(network.world.now())}
        if kind and kind != "inactive":
            forwarded["type"] = kind
        network.deliver(person, target, Node("receipt", forwarded, node.content))
