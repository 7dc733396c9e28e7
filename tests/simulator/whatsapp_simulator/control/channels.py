"""Channels: their posts, followers and reactions."""

from __future__ import annotations

from fastapi import APIRouter

from whatsapp_simulator.control import models, views
from whatsapp_simulator.control.errors import problems
from whatsapp_simulator.control.lookup import Lookup
from whatsapp_simulator.control.messages import content_of
from whatsapp_simulator.phones import channels
from whatsapp_simulator.simulator import Simulator


def router(simulator: Simulator) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["channels"], responses=problems(404, 422))
    network = simulator.network
    find = Lookup(network)

    @routes.post("/channels")
    async def create_channel(body: models.NewChannel) -> models.Channel:
        """Create a channel."""
        followers = find.people(body.followers)
        channel = channels.create(network, body.name, body.description)
        for person in followers:
            channels.follow(network, channel, person.phone, following=True)
        return views.channel(channel)

    @routes.get("/channels")
    async def list_channels() -> models.Channels:
        """List all channels."""
        return models.Channels(items=[views.channel(channel) for channel in network.world.channels])

    @routes.get("/channels/{channel_id}")
    async def get_channel(channel_id: str) -> models.Channel:
        """Get one channel with its posts, their reactions and viewers."""
        return views.channel(find.channel(channel_id))

    @routes.post("/channels/{channel_id}/posts")
    async def post(channel_id: str, body: models.NewPost) -> models.Post:
        """Publish a post to all followers."""
        channel = find.channel(channel_id)
        content = content_of(network, body.text, body.media, encrypted=False)
        return views.post(channels.publish(network, channel, content))

    @routes.put("/channels/{channel_id}/followers/{phone}")
    async def follow(channel_id: str, phone: str) -> models.Channel:
        """Let an account follow the channel."""
        channel = find.channel(channel_id)
        channels.follow(network, channel, find.person(phone).phone, following=True)
        return views.channel(channel)

    @routes.delete("/channels/{channel_id}/followers/{phone}")
    async def unfollow(channel_id: str, phone: str) -> models.Channel:
        """Let an account unfollow the channel."""
        channel = find.channel(channel_id)
        channels.follow(network, channel, find.person(phone).phone, following=False)
        return views.channel(channel)

    return routes
