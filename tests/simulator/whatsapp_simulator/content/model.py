"""Message content as plain data; it is stored in the state file in this form."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """The kinds of messages; `other` is every kind that the simulator does not parse."""

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
    """A file in the media store and its key. `path` follows the host in the URL; `key` is empty if unencrypted.

    size: bytes; seconds: duration of audio and video; animated: a video that plays like a GIF, or an animated sticker.
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
    """A location, in degrees."""

    latitude: float
    longitude: float
    name: str = ""
    address: str = ""
    live: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    """A contact card; vcard: the vCard text."""

    name: str
    vcard: str


@dataclass(frozen=True, slots=True)
class Poll:
    """A poll. selectable: how many options may be chosen, 0 for any number; secret: 32 bytes that encrypt votes."""

    question: str
    options: list[str]
    selectable: int
    secret: bytes


@dataclass(frozen=True, slots=True)
class Vote:
    """An encrypted vote (AES-GCM); `selected` is set once it has been decrypted."""

    payload: bytes
    iv: bytes
    selected: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """The message that a reaction, edit, revocation or vote refers to. Addresses are strings, empty if unknown.

    from_me: from the view of the author of the referring message; participant: the author in a group.
    """

    id: str
    from_me: bool
    chat: str = ""
    participant: str = ""


@dataclass(frozen=True, slots=True)
class Quote:
    """The quoted message: its id, the address of its author, and its text."""

    id: str
    participant: str
    text: str


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a message. text: the text, caption or emoji; mentions: addresses."""

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
