"""Receipts of clients: delivered, read, and "send it again"."""

from __future__ import annotations

from whatsapp_simulator.network import pending_key
from whatsapp_simulator.phones import receiving, sending
from whatsapp_simulator.protocol.binary import Attrs, Node
from whatsapp_simulator.protocol.jid import SERVER
from whatsapp_simulator.stanzas.registry import Context, on


@on("receipt")
def receipt(context: Context) -> None:
    """Confirm it, and pass it on to whom it is for."""
    reader, device = context.owner
    node, network = context.node, context.network
    to = node.jid("to")
    kind = node.get("type")
    attrs: Attrs = {"class": "receipt", "id": node.get("id"), "from": to or SERVER}
    if kind:
        attrs["type"] = kind
    context.link.send(Node("ack", attrs))
    if kind != "retry":
        network.confirm(context.link, pending_key("message", node))
    person = network.world.find(to)
    if person is None or to is None or person is reader:
        return
    if to.device == 0 and kind == "retry":
        sending.send_again(network, person, reader, device, node)
    elif to.device == 0:
        receiving.take_receipt(network, person, reader, node)
    elif target := person.devices.get(to.device):
        forwarded: Attrs = {
            "from": reader.lid_jid(device.number),
            "id": node.get("id"),
            "t": str(network.world.now()),
        }
        if kind and kind != "inactive":
            forwarded["type"] = kind
        network.deliver(person, target, Node("receipt", forwarded, node.content))
