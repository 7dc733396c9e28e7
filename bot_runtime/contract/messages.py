"""Messages to send."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from bot_runtime.contract.limits import MessageId
from bot_runtime.contract.wire import Wire


class Text(Wire, frozen=True, tag_field="type", tag="text"):
    """A text message."""

    text: Annotated[str, Meta(min_length=1, max_length=65536)]


class Media(Wire, frozen=True):
    """The base of all contents with a file, which is uploaded first (`PUT /uploads/{clientId}`)."""

    mimetype: Annotated[str, Meta(pattern=r"^[a-z0-9.+-]+/[A-Za-z0-9.+-]+(; ?codecs=[a-z0-9.]+)?$")]


class Image(Media, frozen=True, tag_field="type", tag="image"):
    """An image (JPEG, PNG)."""

    caption: Annotated[str, Meta(max_length=4096)] = ""


class Video(Media, frozen=True, tag_field="type", tag="video"):
    """A video (MP4)."""

    caption: Annotated[str, Meta(max_length=4096)] = ""


class Audio(Media, frozen=True, tag_field="type", tag="audio"):
    """An audio file, or a voice message (`audio/ogg; codecs=opus`)."""

    voice: bool = False


class Document(Media, frozen=True, tag_field="type", tag="document"):
    """Any file, shown by its name."""

    file_name: Annotated[str, Meta(min_length=1, max_length=255)]
    caption: Annotated[str, Meta(max_length=4096)] = ""


class Sticker(Media, frozen=True, tag_field="type", tag="sticker"):
    """A sticker (WebP, 512×512)."""


class Location(Wire, frozen=True, tag_field="type", tag="location"):
    """A location, in degrees."""

    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]
    name: Annotated[str, Meta(max_length=200)] = ""
    address: Annotated[str, Meta(max_length=500)] = ""


class Contact(Wire, frozen=True, tag_field="type", tag="contact"):
    """A contact card."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    phone_number: Annotated[str, Meta(pattern="^[0-9]{5,15}$")]


class Reaction(Wire, frozen=True, tag_field="type", tag="reaction"):
    """A reaction to a message; an empty emoji removes it."""

    message_id: Annotated[str, Meta(min_length=1, max_length=128)]
    emoji: Annotated[str, Meta(max_length=16)]
    sender: str | None = None
    """The author of the message, required in groups. None: the other side of the chat. `me`: the bot itself."""


class Poll(Wire, frozen=True, tag_field="type", tag="poll"):
    """A poll: a question with options to choose from."""

    question: Annotated[str, Meta(min_length=1, max_length=255)]
    options: Annotated[list[Annotated[str, Meta(min_length=1, max_length=100)]], Meta(min_length=2, max_length=12)]
    selectable: Annotated[int, Meta(ge=1, le=12)] = 1


Content = Text | Image | Video | Audio | Document | Sticker | Location | Contact | Reaction | Poll
FILES = (Image, Video, Audio, Document, Sticker)
"""The contents with a file, which is uploaded first."""


class Quote(Wire, frozen=True):
    """The message that a message quotes."""

    message_id: Annotated[str, Meta(min_length=1, max_length=128)]
    sender: str | None = None
    """Its author, required in groups. None: the other side of the chat. `me`: the bot itself."""
    text: Annotated[str, Meta(max_length=4096)] = ""
    """The quoted text; the bot fills it in if it has stored the message."""


class SendRequest(Wire, frozen=True):
    """`POST /messages`: one message to one chat."""

    client_id: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]
    """Chosen by the caller; a message with the same id is never sent twice. 1 to 64 characters of `A-Za-z0-9_-`."""
    to: str
    """A phone number in international form, or a chat id (`…@s.whatsapp.net`, `…@c.us`, `…@lid`, `…@g.us`)."""
    content: Content
    quote: Quote | None = None


class SendResult(Wire, frozen=True):
    """The message as WhatsApp accepted it."""

    message_id: MessageId
    timestamp: datetime
    repeated: bool
    """True when `client_id` was sent before and nothing was sent now."""
    unconfirmed: bool = False
    """True when the bot stopped, or lost the connection, after sending and before WhatsApp's answer: the message was
    most probably sent with this id, and a `message-ack` for it proves that. It is never sent again."""
