"""Acks: the client confirms stanzas."""

from __future__ import annotations

from whatsapp_simulator.network import pending_key
from whatsapp_simulator.stanzas.registry import Context, on


@on("ack")
def ack(context: Context) -> None:
    """Confirm a stanza. Messages need a receipt: clients also ack messages that they could not decrypt."""
    kind = context.node.get("class")
    key = pending_key(kind, context.node)
    device = context.link.device
    waiting = device.pending.get(key) if device else None
    if waiting and (kind != "message" or context.node.get("error") or waiting.ack_confirms):
        context.network.confirm(context.link, key)
