"""Channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from whatsapp_simulator.control.models import Channel, Post
from whatsapp_simulator.control.models import Channels as ChannelList
from whatsapp_simulator.testing.client.base import BaseClient


class ChannelsClient(BaseClient):
    """Requests for channels."""

    async def create_channel(self, name: str, *, description: str = "", followers: Sequence[str] = ()) -> Channel:
        """Create a channel with these followers."""
        body = {"name": name, "description": description, "followers": list(followers)}
        return Channel.model_validate(await self._call("POST", "/channels", body))

    async def channels(self) -> list[Channel]:
        """All channels."""
        return ChannelList.model_validate(await self._call("GET", "/channels")).items

    async def channel(self, channel_id: str) -> Channel:
        """A channel with its posts."""
        return Channel.model_validate(await self._call("GET", f"/channels/{channel_id}"))

    async def post_to_channel(self, channel_id: str, text: str = "", *, media: dict[str, Any] | None = None) -> Post:
        """Publish a post. media: the result of `client.messages.file`."""
        body = {"text": text, "media": media}
        return Post.model_validate(await self._call("POST", f"/channels/{channel_id}/posts", body))

    async def follow(self, channel_id: str, phone: str, *, following: bool = True) -> Channel:
        """Let an account follow or unfollow a channel."""
        method = "PUT" if following else "DELETE"
        return Channel.model_validate(await self._call(method, f"/channels/{channel_id}/followers/{phone}"))

    async def wait_for_channel_reaction(
        self, channel_id: str, server_id: int, emoji: str | None = None, *, timeout_seconds: float = 10
    ) -> Post:
        """Wait until a post has a reaction (with this emoji)."""

        async def read() -> Post | None:
            for post in (await self.channel(channel_id)).posts:
                emojis = [reaction.emoji for reaction in post.reactions]
                if post.server_id == server_id and (emoji in emojis or (emoji is None and emojis)):
                    return post
            return None

        what = f"nobody reacted with {emoji or 'anything'} to {server_id} in {channel_id}"
        return await self._until(read, what, timeout_seconds=timeout_seconds)
