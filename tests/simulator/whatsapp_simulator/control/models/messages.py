"""Messages: what a contact sends, and what is in its inbox."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from whatsapp_simulator.content.model import MEDIA_KINDS, Kind
from whatsapp_simulator.control.models.base import Base64, Index, Model, Phone, Time

Chat = Annotated[str, Field(description="A phone number, or a group's id", examples=["491701234567", "1203…@g.us"])]
Quoted = Annotated[str | None, Field(description="The id of the message that is replied to")]
MessageId = Annotated[str, Field(description="The id of a message that the contact sent or got", min_length=1)]
Text = Annotated[str, Field(min_length=1, max_length=65_536)]


class NewMessage(Model):
    """A text. mentions: phone numbers."""

    to: Chat
    text: Text
    quote: Quoted = None
    mentions: list[Phone] = Field(default_factory=list)


class File(Model):
    """A file of a kind: image, video, audio, document or sticker. data: base64; mimetype: a usual one when missing.

    voice: an audio that is a voice message; animated: a video that plays like a GIF, or a moving sticker.
    """

    kind: Kind
    data: Base64 = Field(min_length=1)
    mimetype: str = ""
    file_name: str = ""
    seconds: int = Field(default=0, ge=0)
    voice: bool = False
    animated: bool = False

    @model_validator(mode="after")
    def _is_media(self) -> Self:
        if self.kind not in MEDIA_KINDS:
            raise ValueError(f"kind must be one of {', '.join(MEDIA_KINDS)}")
        return self


class NewMedia(File):
    """A file that is sent. withheld (with viewOnce): linked devices get a placeholder, as WhatsApp does it today."""

    to: Chat
    caption: str = ""
    view_once: bool = False
    withheld: bool = False
    quote: Quoted = None


class Location(Model):
    """A place, in degrees."""

    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    name: str = ""
    address: str = ""


class NewLocation(Location):
    """A place that is sent."""

    to: Chat
    quote: Quoted = None


class Card(Model):
    """A contact card."""

    name: str
    vcard: str


class NewCards(Model):
    """Contact cards that are sent."""

    to: Chat
    cards: list[Card] = Field(min_length=1)
    quote: Quoted = None


class Poll(Model):
    """A question; selectable: how many options may be chosen, 0 for any number."""

    question: str = Field(min_length=1)
    options: list[str] = Field(min_length=2, max_length=12)
    selectable: int = Field(default=1, ge=0)


class NewPoll(Poll):
    """A poll that is sent."""

    to: Chat


class NewVote(Model):
    """A vote in a poll; no options take the vote back."""

    message: MessageId
    options: list[str]


class NewReaction(Model):
    """A reaction; an empty emoji takes it back."""

    message: MessageId
    emoji: str


class NewEdit(Model):
    """Another text for a message of the contact."""

    message: MessageId
    text: Text


class NewRevocation(Model):
    """Delete a message for everybody: the contact's own, or in a group as its admin somebody else's."""

    message: MessageId


class NewRepeat(Model):
    """Deliver a message of the contact to somebody once more."""

    message: MessageId


class NewStatus(Model):
    """A status for these accounts: a text or a file (with the text as its caption)."""

    to: list[Phone] = Field(min_length=1)
    text: str = ""
    media: File | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.text and self.media is None:
            raise ValueError("a status has a text or media")
        return self


class SentMessage(Model):
    """A message that was sent."""

    id: str


class Media(Model):
    """A file that arrived. sha256: hex; url: where to get it decrypted; error: what is wrong with it."""

    mimetype: str
    size: int
    sha256: str
    file_name: str
    seconds: int
    voice: bool
    animated: bool
    url: str
    error: str | None


class Quote(Model):
    """The message that is replied to."""

    id: str
    sender: str = Field(alias="from")
    text: str


class InboxItem(Model):
    """A message that arrived. from: a phone number; chat: a group's id or `status@broadcast`, null in a chat of two.

    text: the text, the caption, the question or the emoji; target: the message that a reaction, an edit, a revocation
    or a vote is about; selected: the options of a vote, null if the poll is not known.
    """

    index: Index
    id: str
    kind: Kind = Kind.TEXT
    sender: Phone = Field(alias="from")
    chat: str | None = None
    text: str
    timestamp: Time
    view_once: bool = False
    quoted: Quote | None = None
    mentions: list[str] = Field(default_factory=list)
    target: str | None = None
    media: Media | None = None
    location: Location | None = None
    contacts: list[Card] = Field(default_factory=list)
    poll: Poll | None = None
    selected: list[str] | None = None


class Inbox(Model):
    """Messages after an index, oldest first. next: pass it as `after` to go on."""

    items: list[InboxItem]
    next: int
