"""A scripted transport: accepts messages, and fails as configured."""

import os
import threading
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path

from bot_runtime.contract import Content, Group
from bot_runtime.whatsapp.evidence import Trace
from bot_runtime.whatsapp.files import Facts
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import SentMessage, WhatsAppError
from bot_runtime.whatsapp.outgoing import OutgoingMessage, UploadedFile

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class NoSockets:
    """A process without outgoing connections."""

    def inodes(self) -> Collection[int]:
        return ()

    def drop(self, *, spare: Collection[int]) -> int:
        return 0


class ScriptedTransport:
    """Every call fails with `error` if set; `before_send` runs on the thread of the send."""

    def __init__(self, error: str = "") -> None:
        self.error = error
        self.before_send: Callable[[], object] = lambda: None
        self.cut = threading.Event()
        self.taken: list[OutgoingMessage] = []
        self.uploaded: list[bytes] = []
        self.found: Trace | None = None
        """What a message whose sending failed has left in the session; None: it cannot be read."""
        self.files: dict[bytes, bytes] = {}
        self.numbers: dict[str, str] = {}
        """Phone numbers by hidden id."""
        self.downloads = 0
        self.may_download = threading.Event()
        self.may_download.set()
        self.all_groups: list[Group] = []

    def upload(self, path: Path, content: Content) -> UploadedFile:
        self._fail()
        self.uploaded.append(path.read_bytes())
        return UploadedFile(
            url="https://media/1",
            direct_path="/1",
            media_key=b"k" * 32,
            encrypted_sha256=b"e" * 32,
            sha256=b"s" * 32,
            size=path.stat().st_size,
            facts=Facts(),
        )

    def send(self, message: OutgoingMessage) -> SentMessage:
        self.before_send()
        self._fail()
        self.taken.append(message)
        return SentMessage(f"ID{len(self.taken)}", WHEN)

    def trace(self, message: OutgoingMessage, before: bytes | None) -> Trace | None:
        return self.found

    def cut_connections(self) -> None:
        self.cut.set()

    def chat_state(self, chat: Address) -> bytes | None:
        return str(chat).encode()

    def number_of(self, hidden: str) -> str | None:
        return self.numbers.get(hidden)

    def download(self, reference: bytes, into: int) -> None:
        self.downloads += 1
        assert self.may_download.wait(10)
        self._fail()
        os.write(into, self.files[reference])

    def groups(self) -> Iterator[Group]:
        self._fail()
        yield from self.all_groups

    def group(self, address: Address) -> Group:
        self._fail()
        return next(group for group in self.all_groups if group.id == str(address))

    def _fail(self) -> None:
        if self.error:
            raise WhatsAppError(self.error)
