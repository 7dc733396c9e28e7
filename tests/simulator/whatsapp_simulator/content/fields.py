"""Protobuf field numbers of messages that are used for both reading and writing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from whatsapp_simulator.content.model import Kind

# Fields of a message.
CONVERSATION: Final = 1
SENDER_KEY: Final = 2
CONTACT: Final = 4
LOCATION: Final = 5
EXTENDED_TEXT: Final = 6
PROTOCOL: Final = 12
CONTACTS: Final = 13
LIVE_LOCATION: Final = 18
DEVICE_SENT: Final = 31
MESSAGE_CONTEXT: Final = 35
REACTION: Final = 46
POLLS: Final = (49, 60, 64)
POLL_UPDATE: Final = 50
VIEW_ONCE: Final = (55, 37, 59)
#: Ephemeral, document with caption, edited, Lottie sticker: the actual message is nested one level deeper.
WRAPPERS: Final = (40, 53, 58, 74)

# Fields of a text, a file, a location and a contact card.
CONTEXT: Final = 17
# Fields of MESSAGE_CONTEXT.
SECRET: Final = 3
# Fields of PROTOCOL: the message it refers to, and the edited message.
KEY: Final = 1
TYPE: Final = 2
KEY_SHARE: Final = 7
EDITED: Final = 14

# Types of PROTOCOL.
TYPE_REVOKE: Final = 0
TYPE_KEY_SHARE: Final = 6
TYPE_KEY_REQUEST: Final = 7
TYPE_EDIT: Final = 14


@dataclass(frozen=True, slots=True)
class Layout:
    """Field numbers of a kind of media message; 0 means that it has no such field."""

    kind: Kind
    url: int
    mimetype: int
    sha256: int
    size: int
    key: int
    enc_sha256: int
    path: int
    caption: int = 0
    file_name: int = 0
    seconds: int = 0
    voice: int = 0
    animated: int = 0
    view_once: int = 0


_VIDEO = Layout(
    Kind.VIDEO, 1, 2, 3, 4, key=6, enc_sha256=11, path=13, caption=7, seconds=5, animated=8, view_once=20
)  # fmt: skip

#: Field of the message → field numbers of its parts.
FILES: Final = {
    3: Layout(Kind.IMAGE, 1, 2, 4, 5, key=8, enc_sha256=9, path=11, caption=3, view_once=25),
    7: Layout(Kind.DOCUMENT, 1, 2, 4, 5, key=7, enc_sha256=9, path=10, caption=20, file_name=8),
    8: Layout(Kind.AUDIO, 1, 2, 3, 4, key=7, enc_sha256=8, path=9, seconds=5, voice=6, view_once=21),
    9: _VIDEO,
    26: Layout(Kind.STICKER, 1, 5, 2, 9, key=4, enc_sha256=3, path=8, animated=13),
    66: _VIDEO,
}

#: Kind → message field that it is written to.
FILE_FIELDS: Final = {layout.kind: number for number, layout in reversed(FILES.items())}
