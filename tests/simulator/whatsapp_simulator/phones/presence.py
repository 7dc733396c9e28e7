"""Presence and typing states."""

from __future__ import annotations

from whatsapp_simulator.network import Network
from whatsapp_simulator.protocol.binary import Attrs, Node
from whatsapp_simulator.world.groups import Group
from whatsapp_simulator.world.model import MAX_ITEMS, ChatStateItem, Person

AVAILABLE, UNAVAILABLE = "available", "unavailable"
COMPOSING, RECORDING, PAUSED = "composing", "recording", "paused"


def set_presence(network: Network, person: Person, state: str) -> None:
    """Set a person online or offline, and notify the clients that watch this person."""
    person.profile.presence = state
    if state == UNAVAILABLE:
        person.profile.last_seen = network.world.now()
    network.world.touch(person)
    node = presence_of(person)
    for link in network.links_of(None):
        if link.active and person.phone in link.watching:
            link.send(node)


def presence_of(person: Person) -> Node:
    """The presence stanza of a person, as sent to watchers."""
    attrs: Attrs = {"from": person.lid_jid()}
    if person.profile.presence != AVAILABLE:
        last = str(person.profile.last_seen) if person.profile.last_seen else "deny"
        attrs |= {"type": UNAVAILABLE, "last": last}
    return Node("presence", attrs)


def set_typing(network: Network, person: Person, to: Person | Group, state: str) -> None:
    """Show a person as typing, recording or paused in a one-to-one chat or a group."""
    media: Attrs = {"media": "audio"} if state == RECORDING else {}
    content = [Node(COMPOSING if state == RECORDING else state, media)]
    if isinstance(to, Person):
        _store_chat_state(network, person, to, state, "")
        network.send_to_connected(to, Node("chatstate", {"from": person.lid_jid()}, content))
        return
    to.require_member(person.phone)
    for phone in to.members:
        member = network.world.get(phone)
        if member is not None and member is not person:
            _store_chat_state(network, person, member, state, str(to.jid))
            network.send_to_connected(
                member, Node("chatstate", {"from": to.jid, "participant": person.lid_jid()}, content)
            )


def _store_chat_state(network: Network, person: Person, to: Person, state: str, chat: str) -> None:
    item = ChatStateItem(to.assign_index(), person.phone, state, network.world.now(), chat)
    to.chat_states.append(item)
    del to.chat_states[:-MAX_ITEMS]
    network.world.touch(to)
    network.notifier.notify(to.phone)
