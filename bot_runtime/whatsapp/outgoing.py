"""What is to be sent, as plain data."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bot_runtime.contract import Content, Group
from bot_runtime.whatsapp.files import Facts
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import Sent


@dataclass(frozen=True, slots=True)
class Target:
    """The message that another one answers or reacts to."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One message to one chat."""

    chat: Address
    content: Content
    target: Target | None = None
    """What a reaction reacts to, or what any other content answers."""
    file: UploadedFile | None = None
    secret: bytes = b""
    """32 bytes that lead from the message to WhatsApp's id for it (see `evidence.py`)."""


class Transport(Protocol):
    """WhatsApp as far as sending and fetching need it. All calls block, and raise `WhatsAppError`."""

    def upload(self, path: Path, content: Content) -> UploadedFile:
        """Bring a file to WhatsApp's servers."""

    def send(self, message: Outgoing) -> Sent:
        """Send a message and wait for WhatsApp to take it."""

    def find(self, secret: bytes) -> str | None:
        """The id of a message that was to be sent with this secret; None when it cannot be found now."""

    def chat_state(self, chat: Address) -> bytes | None:
        """How the encryption with a chat stands, see `evidence.py`; None when that cannot be read now."""

    def number_of(self, hidden: str) -> str | None:
        """The phone number behind a hidden id (`…@lid`); None when it is not known now."""

    def download(self, reference: bytes, into: int) -> None:
        """Fetch the file that a received message refers to, and write it to a descriptor."""

    def groups(self) -> list[Group]:
        """All groups the account is in, with their members."""

    def group(self, address: Address) -> Group:
        """One group."""
