"""Linked devices: linking by pairing code, and logout by the client."""

from __future__ import annotations

from whatsapp_simulator.protocol.binary import Node
from whatsapp_simulator.stanzas.registry import Context, IqError, on_iq


@on_iq("md", "set")
def companion(context: Context) -> list[Node]:
    """Handle a step of linking by pairing code, or a logout."""
    step = context.node.child("link_code_companion_reg")
    if step is not None:
        return _link_code(context, step)
    if context.node.child("remove-companion-device") is not None:
        person, device = context.owner
        context.network.remove_device(person, device)
        return []
    raise IqError(400, "bad-request")


def _link_code(context: Context, step: Node) -> list[Node]:
    pairing = context.pairing
    stage, phone = step.get("stage"), step.jid("jid")
    if phone is None:
        raise IqError(400, "bad-request")
    if stage == "companion_hello":
        wrapped = step.child_data("link_code_pairing_wrapped_companion_ephemeral_pub")
        ref = pairing.open_code(context.link, phone.user, wrapped)
        shown = Node("link_code_pairing_ref", {}, ref)
        return [Node("link_code_companion_reg", {"stage": stage}, [shown])]
    if stage == "companion_finish":
        pairing.finish_code(phone.user, step.child_data("link_code_pairing_wrapped_key_bundle"))
        return []
    raise IqError(400, "bad-request")
