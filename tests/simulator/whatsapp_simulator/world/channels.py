"""Channels (newsletters): posts to all followers, and the followers' reactions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from whatsapp_simulator.protocol.jid import NEWSLETTER, Jid

_MAX_POSTS = 1000


@dataclass(slots=True)
class Post:
    """A post; plaintext is the protobuf message. reactions: phone number → emoji; viewers: phone numbers."""

    server_id: int
    id: str
    plaintext: bytes
    kind: str
    media_type: str
    timestamp: int
    reactions: dict[str, str] = field(default_factory=dict)
    viewers: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Channel:
    """A channel. owner: the phone number of an account, or empty; followers and muted are phone numbers."""

    id: str
    name: str
    description: str
    invite: str
    created: int
    owner: str = ""
    followers: list[str] = field(default_factory=list)
    muted: list[str] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    next_server_id: int = 100

    @property
    def jid(self) -> Jid:
        """Its address."""
        return Jid(self.id, NEWSLETTER)

    def post(self, server_id: int) -> Post | None:
        """The post with this number."""
        return next((post for post in reversed(self.posts) if post.server_id == server_id), None)

    def add(self, post_id: str, plaintext: bytes, kind: str, media_type: str, timestamp: int) -> Post:
        """Add a post."""
        post = Post(self.next_server_id, post_id, plaintext, kind, media_type, timestamp)
        self.next_server_id += 1
        self.posts.append(post)
        del self.posts[:-_MAX_POSTS]
        return post


class Channels:
    """All channels; call `touch` after changing one."""

    def __init__(self, channels: Iterable[Channel] = ()) -> None:
        self._channels = {channel.id: channel for channel in channels}
        self._touched: dict[str, Channel] = {}

    def __iter__(self) -> Iterator[Channel]:
        return iter(list(self._channels.values()))

    def find(self, address: Jid | None) -> Channel | None:
        """The channel with this address."""
        return self._channels.get(address.user) if address and address.server == NEWSLETTER else None

    def by_invite(self, code: str) -> Channel | None:
        """The channel with this invite code."""
        return next((channel for channel in self._channels.values() if channel.invite == code), None)

    def followed_by(self, phone: str) -> list[Channel]:
        """The channels that an account follows or owns."""
        return [channel for channel in self._channels.values() if phone in (channel.owner, *channel.followers)]

    def add(self, channel: Channel) -> None:
        """Create a channel."""
        self._channels[channel.id] = channel
        self.touch(channel)

    def touch(self, channel: Channel) -> None:
        """Mark a channel as changed."""
        self._touched[channel.id] = channel

    def take_touched(self) -> list[Channel]:
        """The channels that changed since the last call."""
        touched, self._touched = self._touched, {}
        return list(touched.values())
