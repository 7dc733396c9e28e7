"""Calls: clients reject them."""

from __future__ import annotations

from whatsapp_simulator.phones import calls
from whatsapp_simulator.protocol.binary import Node
from whatsapp_simulator.protocol.jid import SERVER
from whatsapp_simulator.stanzas.registry import Context, on


@on("call")
def call(context: Context) -> None:
    """Reject a call."""
    node = context.node
    context.link.send(Node("ack", {"class": "call", "id": node.get("id"), "from": node.jid("to") or SERVER}))
    rejected = node.child("reject")
    caller = context.network.world.find(node.jid("to"))
    found = caller.calls.get(rejected.get("call-id")) if caller and rejected else None
    if caller is not None and found is not None and found.state == calls.RINGING:
        calls.change(context.network, caller, found, calls.REJECTED)
