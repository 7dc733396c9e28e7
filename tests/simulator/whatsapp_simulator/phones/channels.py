"""Channels: posts to followers, reactions, and the channel data that clients receive."""

from __future__ import annotations

from typing import Any

from whatsapp_simulator.content import writing
from whatsapp_simulator.content.model import Content
from whatsapp_simulator.network import Network
from whatsapp_simulator.protocol.binary import Attrs, Node
from whatsapp_simulator.world.channels import Channel, Post


def create(network: Network, name: str, description: str, owner: str = "") -> Channel:
    """Create a channel. owner: the phone number of an account, or empty."""
    world = network.world
    channel = Channel(world.chat_id(), name, description, "0029Va" + world.random(8).hex(), world.now(), owner)
    world.channels.add(channel)
    return channel


def publish(network: Network, channel: Channel, content: Content) -> Post:
    """Publish a post as an admin of the channel."""
    now = network.world.now()
    plaintext = writing.write(content, now=now)
    return post(network, channel, plaintext, writing.stanza_type(content), writing.media_type(content), "")


def post(network: Network, channel: Channel, plaintext: bytes, kind: str, media_type: str, message_id: str) -> Post:
    """Add a post and send it to all followers. message_id: generated if empty."""
    world = network.world
    added = channel.add(message_id or world.message_id(), plaintext, kind, media_type, world.now())
    world.channels.touch(channel)
    for phone in channel.followers:
        person = world.get(phone)
        for device in list(person.devices.values()) if person else ():
            if person is not None:
                network.deliver(person, device, _stanza(channel, added), ack_confirms=True)
    return added


def react(network: Network, channel: Channel, found: Post, phone: str, emoji: str) -> None:
    """React to a post as a follower; an empty emoji removes the reaction."""
    if emoji:
        found.reactions[phone] = emoji
    else:
        found.reactions.pop(phone, None)
    network.world.channels.touch(channel)
    network.notifier.notify(str(channel.jid))


def follow(network: Network, channel: Channel, phone: str, *, following: bool) -> None:
    """Let an account follow or unfollow a channel."""
    if following and phone not in channel.followers:
        channel.followers.append(phone)
    elif not following and phone in channel.followers:
        channel.followers.remove(phone)
    network.world.channels.touch(channel)
    network.notifier.notify(str(channel.jid))


def posts_to_nodes(posts: list[Post]) -> list[Node]:
    """Posts with their reaction and view counts, as sent to clients."""
    nodes = []
    for item in posts:
        counts: dict[str, int] = {}
        for emoji in item.reactions.values():
            counts[emoji] = counts.get(emoji, 0) + 1
        reactions = [Node("reaction", {"code": emoji, "count": str(count)}) for emoji, count in counts.items()]
        attrs = {"id": item.id, "server_id": str(item.server_id), "type": item.kind, "t": str(item.timestamp)}
        content = [_plaintext(item), Node("views_count", {"count": str(len(item.viewers))})]
        nodes.append(Node("message", attrs, [*content, Node("reactions", {}, reactions)]))
    return nodes


def to_json(channel: Channel, viewer: str) -> dict[str, Any]:
    """A channel in the format of GraphQL responses; viewer: the phone number of the requesting account."""
    role = "owner" if viewer == channel.owner else "subscriber" if viewer in channel.followers else "guest"
    return {
        "id": str(channel.jid),
        "state": {"type": "ACTIVE"},
        "thread_metadata": {
            "creation_time": str(channel.created),
            "invite": channel.invite,
            "name": {"text": channel.name, "id": "1", "update_time": str(channel.created * 1_000_000)},
            "description": {"text": channel.description, "id": "1", "update_time": str(channel.created * 1_000_000)},
            "subscribers_count": str(len(channel.followers)),
            "verification": "UNVERIFIED",
            "picture": {"id": "", "type": "IMAGE", "direct_path": "", "url": ""},
            "preview": {"id": "", "type": "PREVIEW", "direct_path": "", "url": ""},
            "settings": {"reaction_codes": {"value": "all"}},
        },
        "viewer_metadata": {"mute": "ON" if viewer in channel.muted else "OFF", "role": role.upper()},
    }


def _stanza(channel: Channel, item: Post) -> Node:
    attrs: Attrs = {
        "from": channel.jid,
        "id": item.id,
        "server_id": str(item.server_id),
        "t": str(item.timestamp),
        "type": item.kind,
    }
    return Node("message", attrs, [_plaintext(item)])


def _plaintext(item: Post) -> Node:
    return Node("plaintext", {"mediatype": item.media_type} if item.media_type else {}, item.plaintext)
