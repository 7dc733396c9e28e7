"""What is sent to WhatsApp, as plain data, and the interface of the transport."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bot_runtime.contract import Content, Group
from bot_runtime.whatsapp.evidence import Trace
from bot_runtime.whatsapp.files import Facts
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import SentMessage


@dataclass(frozen=True, slots=True)
class SendTarget:
    """The message that another one quotes or reacts to."""

    message_id: str
    author: Address
    mine: bool
    """Whether the account itself wrote it."""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedFile:
    """A file on WhatsApp's servers, encrypted."""

    url: str
    direct_path: str
    media_key: bytes = field(repr=False)
    encrypted_sha256: bytes
    sha256: bytes
    size: int
    facts: Facts


@dataclass(frozen=True, slots=True)
class ForwardedFile:
    """The file of a received message, to be sent again without its view-once restriction."""

    message: bytes = field(repr=False)
    """The serialised Message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMessage:
    """One message to one chat."""

    chat: Address
    content: Content | ForwardedFile
    target: SendTarget | None = None
    """The message that a reaction reacts to, or that any other content quotes."""
    file: UploadedFile | None = None
    secret: bytes = b""
    """32 bytes by which WhatsApp's id of the message can be found (see `evidence.py`).

    Messages of the bot itself have none: storing it costs another write, and nobody asks for their ids."""


class Transport(Protocol):
    """WhatsApp as sending and fetching use it. All calls block, and raise `WhatsAppError`."""

    def upload(self, path: Path, content: Content) -> UploadedFile:
        """Upload a file to WhatsApp's servers."""

    def send(self, message: OutgoingMessage) -> SentMessage:
        """Send a message and wait until WhatsApp accepts it."""

    def trace(self, message: OutgoingMessage, before: bytes | None) -> Trace | None:
        """What a message left in the session whose sending failed; None when it cannot be read now.

        `before` is the `chat_state` right before.
        """

    def cut_connections(self) -> None:
        """Make calls that hang fail."""

    def chat_state(self, chat: Address) -> bytes | None:
        """The encryption state of a chat, see `evidence.py`; None when it cannot be read now."""

    def number_of(self, hidden: str) -> str | None:
        """The phone number of a hidden id (`…@lid`); None when it is unknown."""

    def download(self, reference: bytes, into: int) -> None:
        """Fetch the file of a received message, and write it to a descriptor."""

    def groups(self) -> Iterator[Group]:
        """All groups the account is in, with their members. Decoded one by one, as they are requested."""

    def group(self, address: Address) -> Group:
        """One group."""
