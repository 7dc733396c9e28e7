"""Channels."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from whatsapp_simulator.content.model import Kind
from whatsapp_simulator.control.models.base import Model, Phone, Time
from whatsapp_simulator.control.models.messages import File


class NewChannel(Model):
    """A channel to create. followers: accounts that follow it from the start."""

    name: str = Field(min_length=1, max_length=100)
    description: str = ""
    followers: list[Phone] = Field(default_factory=list)


class NewPost(Model):
    """A post to publish: a text, or a file with the text as its caption."""

    text: str = ""
    media: File | None = None

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if not self.text and self.media is None:
            raise ValueError("a post needs text or media")
        return self


class Reaction(Model):
    """A follower's reaction to a post."""

    sender: Phone = Field(alias="from")
    emoji: str


class Post(Model):
    """A post. serverId: its number in the channel; viewers: who reported it as viewed."""

    server_id: int
    id: str
    kind: Kind
    text: str
    timestamp: Time
    reactions: list[Reaction]
    viewers: list[Phone]


class Channel(Model):
    """A channel. invite: the invite link; owner: the account that created it, null if the control API did."""

    id: str
    name: str
    description: str
    invite: str
    owner: Phone | None
    followers: list[Phone]
    muted: list[Phone]
    created_at: Time
    posts: list[Post]


class Channels(Model):
    """A list of channels."""

    items: list[Channel]
