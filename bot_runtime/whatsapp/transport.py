"""Sends and fetches through the Go library. Everything here blocks and must run on a thread.

The protobuf messages are imported by the first call, not before: they take 8 MiB.
"""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from bot_runtime.contract import Audio, Content, Document, Group, Image, Sticker, Video
from bot_runtime.whatsapp.account import SessionUnreadableError
from bot_runtime.whatsapp.core import Core
from bot_runtime.whatsapp.evidence import Trace, chat_state, number_of, trace
from bot_runtime.whatsapp.files import Facts, read_facts
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import SentMessage, WhatsAppError
from bot_runtime.whatsapp.outgoing import OutgoingMessage, UploadedFile
from bot_runtime.whatsapp.sockets import OutgoingSockets

_MEDIA_TYPES: dict[type, int] = {Image: 0, Sticker: 0, Video: 1, Audio: 2, Document: 3}
"""neonize's numbers."""


class LibraryTransport:
    """The `Transport` of a bot that is online. A call while the library has no client would end the process."""

    def __init__(self, core: Core, database: Path, sockets: OutgoingSockets) -> None:
        self._core = core
        self._sockets = sockets
        self._database = database

    def upload(self, path: Path, content: Content) -> UploadedFile:
        from bot_runtime.whatsapp import encode

        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as data:
            with memoryview(data) as view:
                facts = Facts() if isinstance(content, Document) else read_facts(view)
            answer = self._core.upload(data, _MEDIA_TYPES[type(content)])
        return encode.uploaded(answer, facts)

    def send(self, message: OutgoingMessage) -> SentMessage:
        from bot_runtime.whatsapp import encode

        return encode.sent(self._core.send(encode.jid(message.chat), encode.message(message)))

    def trace(self, message: OutgoingMessage, before: bytes | None) -> Trace | None:
        try:
            return trace(self._database, message.secret, message.chat, before)
        except SessionUnreadableError:
            return None

    def cut_connections(self) -> None:
        self._sockets.drop()

    def chat_state(self, chat: Address) -> bytes | None:
        try:
            return chat_state(self._database, chat, in_use=True)
        except SessionUnreadableError:
            return None

    def number_of(self, hidden: str) -> str | None:
        try:
            return number_of(self._database, hidden)
        except SessionUnreadableError:
            return None

    def download(self, reference: bytes, into: int) -> None:
        def write(data: memoryview) -> None:
            while data:
                data = data[os.write(into, data) :]

        if error := self._core.download(reference, write):
            raise WhatsAppError(error)

    def groups(self) -> Iterator[Group]:
        with self._core.joined_groups() as answer:
            if not answer:  # no groups: avoids the import
                return
            from bot_runtime.whatsapp.groups import joined_groups

            yield from joined_groups(answer)

    def group(self, address: Address) -> Group:
        from bot_runtime.whatsapp import encode
        from bot_runtime.whatsapp.groups import one_group

        return one_group(self._core.group_info(encode.jid(address)))
