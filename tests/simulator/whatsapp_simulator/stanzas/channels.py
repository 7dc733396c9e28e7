"""Channels: clients read, react, post and report viewed posts. Following and similar actions are in `mex`."""

from __future__ import annotations

from whatsapp_simulator.phones import channels
from whatsapp_simulator.protocol.binary import Attrs, Node
from whatsapp_simulator.protocol.jid import Jid
from whatsapp_simulator.stanzas.registry import Context, IqError, on_iq
from whatsapp_simulator.world.channels import Channel

_LIVE_SECONDS = 300
_COUNT = 100


def message(context: Context, to: Jid) -> None:
    """Handle a reaction to a post, or a post in the client's own channel."""
    node, network = context.node, context.network
    person, _ = context.owner
    attrs: Attrs = {"class": "message", "id": node.get("id"), "from": to, "t": str(network.world.now())}
    channel = network.world.channels.find(to)
    reaction, plaintext = node.child("reaction"), node.child("plaintext")
    post = channel.post(int(node.get("server_id") or 0)) if channel else None
    if channel is not None and reaction is not None and post is not None:
        channels.react(network, channel, post, person.phone, reaction.get("code"))
    elif channel is not None and plaintext is not None and channel.owner == person.phone:
        kind, media_type = node.get("type"), plaintext.get("mediatype")
        added = channels.post(network, channel, plaintext.data, kind, media_type, node.get("id"))
        attrs["server_id"] = str(added.server_id)
    else:
        attrs["error"] = "404" if channel is None else "403"
    context.link.send(Node("ack", attrs))


def viewed(context: Context, to: Jid) -> None:
    """Record that the client has viewed posts."""
    channel = context.network.world.channels.find(to)
    listed = context.node.child("list")
    if channel is None or listed is None or context.node.get("type") != "view":
        return
    phone = context.owner[0].phone
    for item in listed.walk("item"):
        post = channel.post(int(item.get("server_id") or 0))
        if post is not None and phone not in post.viewers:
            post.viewers.append(phone)
    context.network.world.channels.touch(channel)
    context.network.notifier.notify(str(to))


@on_iq("newsletter", "get")
def read(context: Context) -> list[Node]:
    """Return posts of a channel (`messages`), or only their counts (`message_updates`)."""
    if (request := context.node.child("messages")) is not None:
        channel = _channel(context, request.jid("jid"))
        before = int(request.get("before") or 0)
        posts = [post for post in channel.posts if not before or post.server_id < before]
        nodes = channels.posts_to_nodes(posts[-int(request.get("count") or _COUNT) :])
        return [Node("messages", {"jid": channel.jid, "t": str(context.network.world.now())}, nodes)]
    if (request := context.node.child("message_updates")) is not None:
        channel = _channel(context, context.node.jid("to"))
        after, since = int(request.get("after") or 0), int(request.get("since") or 0)
        posts = [post for post in channel.posts if post.server_id > after and post.timestamp >= since]
        nodes = channels.posts_to_nodes(posts[: int(request.get("count") or _COUNT)])
        return [Node("message_updates", {}, [Node("messages", {"jid": channel.jid}, nodes)])]
    raise IqError(400, "bad-request")


@on_iq("newsletter", "set")
def subscribe(context: Context) -> list[Node]:
    """Subscribe to live counts: returns the duration of the subscription. Clients still poll the counts."""
    _channel(context, context.node.jid("to"))
    return [Node("live_updates", {"duration": str(_LIVE_SECONDS)})]


@on_iq("tos", "set")
def accept_terms(_: Context) -> list[Node]:
    """Accept the terms that a client must agree to before it creates a channel."""
    return []


def _channel(context: Context, address: Jid | None) -> Channel:
    channel = context.network.world.channels.find(address)
    if channel is None:
        raise IqError(404, "item-not-found")
    return channel
