"""Presence and typing of clients."""

from __future__ import annotations

from whatsapp_simulator.phones import presence
from whatsapp_simulator.stanzas.registry import Context, IqError, on
from whatsapp_simulator.world.groups import GroupError


@on("presence")
def online(context: Context) -> None:
    """Set the client online or offline, or subscribe it to a person's presence."""
    node, network = context.node, context.network
    person, _ = context.owner
    if node.get("type") != "subscribe":
        person.name = node.get("name") or person.name
        state = node.get("type") or presence.AVAILABLE
        presence.set_presence(network, person, state)
        return
    watched = network.world.find(node.jid("to"))
    if watched is not None:
        context.link.watching.add(watched.phone)
        context.link.send(presence.presence_of(watched))


@on("chatstate")
def typing(context: Context) -> None:
    """Show the client as typing, recording or paused."""
    network, to = context.network, context.node.jid("to")
    person, _ = context.owner
    state = next((child for child in context.node.children), None)
    chat = network.world.groups.find(to) or network.world.find(to)
    if state is None or chat is None:
        return
    recording = state.tag == presence.COMPOSING and state.get("media") == "audio"
    try:
        presence.set_typing(network, person, chat, presence.RECORDING if recording else state.tag)
    except GroupError as exc:
        raise IqError(exc.status, exc.code) from exc
