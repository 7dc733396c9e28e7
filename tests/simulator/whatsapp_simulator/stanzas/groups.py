"""Groups: there are none yet, so a client that asks for its groups gets an empty list."""

from __future__ import annotations

from whatsapp_simulator.protocol.binary import Node
from whatsapp_simulator.stanzas.registry import Context, IqError, on_iq


@on_iq("w:g2", "get")
def query(context: Context) -> list[Node]:
    """The client's groups, or one of them."""
    if context.node.child("participating") is None:
        raise IqError(404, "item-not-found")
    return [Node("groups", {}, [])]
