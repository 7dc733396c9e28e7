"""Messages: what a contact sends, and what its inbox contains."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from whatsapp_simulator.content.model import MEDIA_KINDS, Kind
from whatsapp_simulator.control.models.base import Base64, Index, Model, Phone, Time

Chat = Annotated[str, Field(description="A phone number or a group id", examples=["491701234567", "1203…@g.us"])]
Quoted = Annotated[str | None, Field(description="The id of the message to reply to")]
MessageId = Annotated[str, Field(description="The id of a message that the contact sent or received", min_length=1)]
Text = Annotated[str, Field(min_length=1, max_length=65_536)]


class NewMessage(Model):
    """A text to send. mentions: phone numbers."""

    to: Chat
    text: Text
    quote: Quoted = None
    mentions: list[Phone] = Field(default_factory=list)


class File(Model):
    """A file. kind: image, video, audio, document or sticker; data: base64; mimetype: default depends on the kind.

    voice: audio as a voice message; animated: a video that plays like a GIF, or an animated sticker.
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
    """A file to send. withheld (with viewOnce): linked devices get a placeholder, as with WhatsApp today."""

    to: Chat
    caption: str = ""
    view_once: bool = False
    withheld: bool = False
    quote: Quoted = None


class Location(Model):
    """A location, in degrees."""

    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    name: str = ""
    address: str = ""


class NewLocation(Location):
    """A location to send."""

    to: Chat
    quote: Quoted = None


class Card(Model):
    """A contact card."""

    name: str
    vcard: str


class NewCards(Model):
    """Contact cards to send."""

    to: Chat
    cards: list[Card] = Field(min_length=1)
    quote: Quoted = None


class Poll(Model):
    """A poll. selectable: how many options may be chosen, 0 for any number."""

    question: str = Field(min_length=1)
    options: list[str] = Field(min_length=2, max_length=12)
    selectable: int = Field(default=1, ge=0)


class NewPoll(Poll):
    """A poll to send."""

    to: Chat


class NewVote(Model):
    """A vote in a poll; an empty list of options withdraws the vote."""

    message: MessageId
    options: list[str]


class NewReaction(Model):
    """A reaction; an empty emoji removes it."""

    message: MessageId
    emoji: str


class NewEdit(Model):
    """A new text for a message of the contact."""

    message: MessageId
    text: Text


class NewRevocation(Model):
    """A message to delete for everyone: the contact's own, or another member's if the contact is a group admin."""

    message: MessageId


class NewRedelivery(Model):
    """A message of the contact to deliver again."""

    message: MessageId


class NewStatus(Model):
    """A status for these accounts: a text, or a file with the text as its caption."""

    to: list[Phone] = Field(min_length=1)
    text: str = ""
    media: File | None = None

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if not self.text and self.media is None:
            raise ValueError("a status needs text or media")
        return self


class SentMessage(Model):
    """The message that was sent."""

    id: str


class Media(Model):
    """A received file. sha256: hex; url: where to download it decrypted; error: why it is invalid, if it is."""

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
    """The quoted message."""

    id: str
    sender: str = Field(alias="from")
    text: str


class InboxItem(Model):
    """A received message. from: a phone number; chat: a group id or `status@broadcast`, null in a one-to-one chat.

    text: the text, caption, question or emoji; target: the message that a reaction, edit, revocation or vote refers to;
    selected: the options of a vote, null if the poll is unknown.
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
    """Messages after an index, oldest first. next: pass it as `after` to continue."""

    items: list[InboxItem]
    next: int
