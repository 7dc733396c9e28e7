"""What a message says, as plain data; it goes into the state file as it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """The kinds of messages; `other` is everything that is not looked into."""

    TEXT = "text"
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    DOCUMENT = "document"
    STICKER = "sticker"
    LOCATION = "location"
    CONTACT = "contact"
    POLL = "poll"
    POLL_VOTE = "poll-vote"
    REACTION = "reaction"
    EDIT = "edit"
    REVOKE = "revoke"
    OTHER = "other"


MEDIA_KINDS = (Kind.IMAGE, Kind.VIDEO, Kind.AUDIO, Kind.DOCUMENT, Kind.STICKER)


@dataclass(frozen=True, slots=True)
class Media:
    """A file in the media store and the key to it. `path` is what follows the host; `key` is empty when not encrypted.

    size in bytes, seconds for audio and video; animated: a video that plays like a GIF, or a moving sticker.
    """

    path: str
    url: str
    mimetype: str
    size: int
    sha256: bytes
    key: bytes = b""
    enc_sha256: bytes = b""
    file_name: str = ""
    seconds: int = 0
    voice: bool = False
    animated: bool = False


@dataclass(frozen=True, slots=True)
class Location:
    """A place, in degrees."""

    latitude: float
    longitude: float
    name: str = ""
    address: str = ""
    live: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    """A contact card; vcard is the text of the vCard."""

    name: str
    vcard: str


@dataclass(frozen=True, slots=True)
class Poll:
    """A question; selectable: how many options may be chosen, 0 for any number. secret: 32 bytes that seal votes."""

    question: str
    options: list[str]
    selectable: int
    secret: bytes


@dataclass(frozen=True, slots=True)
class Vote:
    """A sealed vote (AES-GCM); `selected` once it was opened."""

    payload: bytes
    iv: bytes
    selected: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """The message that a reaction, an edit, a revocation or a vote is about. Addresses are texts, empty when unknown.

    from_me is said by who wrote the message that points here; participant is the author in a group.
    """

    id: str
    from_me: bool
    chat: str = ""
    participant: str = ""


@dataclass(frozen=True, slots=True)
class Quote:
    """The message that is replied to: its id, its author's address, and its text."""

    id: str
    participant: str
    text: str


@dataclass(frozen=True, slots=True)
class Content:
    """What a message says. `text` is the text, the caption or the emoji; mentions are addresses."""

    kind: Kind
    text: str = ""
    media: Media | None = None
    location: Location | None = None
    cards: list[Card] = field(default_factory=list)
    poll: Poll | None = None
    vote: Vote | None = None
    target: Target | None = None
    quote: Quote | None = None
    mentions: list[str] = field(default_factory=list)
    view_once: bool = False
