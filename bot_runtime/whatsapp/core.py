"""The binding to neonize's Go library: load it, connect in a thread of its own, call it.

neonize's Python client is deliberately not used. Importing it loads pillow, requests, httpx, phonenumbers,
BeautifulSoup and rich, none of which a bot that is online needs (20 MiB and half a second per bot); its `connect()`
wakes up five times a second and cannot be called twice. This module uses neonize's compiled library and its protobuf
messages. `neonize.NewClient` remains available to code that imports it (see `imports.py`), and finds the same
connection by its uuid.

This module imports little more than ctypes, so that the connection is set up while the rest of the runtime is still
being imported. Methods that block say so and must run on a thread.
"""

import ctypes
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bot_runtime.whatsapp.event_codes import SUBSCRIBED
from bot_runtime.whatsapp.library import Bytes, LibraryError, OnEvent, OnLog, OnText, load
from bot_runtime.whatsapp.protobuf_fields import fields, tag_of

if TYPE_CHECKING:
    import mmap

UUID = b"bot"
"""The library's key of the only client in this process."""

QUIET_SECONDS = 0.1
"""After a disconnect: when nothing has arrived for this long, nothing more will."""
HANDOVER_SECONDS = 1.0
"""How long a stop waits for that at most."""

_BINARY, _ERROR = tag_of(1), tag_of(2)
"""The fields of a DownloadReturnFunction, `{bytes Binary = 1; string Error = 2}`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """The parameters of a connection."""

    database: Path
    device: bytes
    """A serialised DeviceProps, shown on the phone when pairing; empty for the library's default."""
    log_level: str
    """DEBUG, INFO, WARN or ERROR: the lowest level that reaches `on_log`."""


class Core:
    """One WhatsApp client in the Go library.

    The callbacks run on Go's threads and must not block. `on_event` receives the number of the event and its protobuf
    bytes, `on_qr` the text of a QR code, `on_pairing_end` the result of the QR phase ("success", "timeout" or an
    error), `on_log` the bytes of a LogEntry, `on_end` the error that `connect` ended with ("" for none).
    """

    def __init__(
        self,
        *,
        on_event: Callable[[int, bytes], None],
        on_qr: Callable[[str], None],
        on_pairing_end: Callable[[str], None],
        on_log: Callable[[bytes], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._on_end = on_end
        # Go calls these as long as the process runs, also for clients that have been stopped.
        self._qr = OnText(lambda _uuid, text: on_qr(ctypes.string_at(text).decode()))
        self._pairing_end = OnText(lambda _uuid, text: on_pairing_end(ctypes.string_at(text).decode()))
        self._last_event = 0.0

        def note_event(_uuid: bytes, data: int, size: int, code: int) -> None:
            on_event(code, ctypes.string_at(data, size))
            self._last_event = time.monotonic()

        self._event = OnEvent(note_event)
        self._log = OnLog(lambda data, size: on_log(ctypes.string_at(data, size)))
        self._go: ctypes.CDLL | None = None
        self._thread: threading.Thread | None = None

    @property
    def connecting(self) -> bool:
        """Whether a call of `connect` has not returned yet."""
        return self._thread is not None and self._thread.is_alive()

    def connect(self, dial: Dial) -> None:
        """Start connecting in a new thread; everything else arrives through the callbacks."""
        self._thread = threading.Thread(target=self._run, args=(dial,), name="whatsapp", daemon=True)
        self._thread.start()

    def _run(self, dial: Dial) -> None:
        try:
            go = self.library()
        except (LibraryError, OSError) as exc:
            self._on_end(f"library: {exc}")
            return
        ended_with = self._text(
            go.Neonize(
                bytes(dial.database), UUID, b"", 0, 0, dial.log_level.encode(),
                self._qr, self._pairing_end, self._event, self._log,
                SUBSCRIBED, len(SUBSCRIBED), dial.device, len(dial.device), b"", 0, None,
            )
        )  # fmt: skip
        self._on_end(ended_with)

    def wait_until_ended(self, seconds: float) -> None:
        """Block until `connect` has returned, or for `seconds`."""
        if self._thread is not None:
            self._thread.join(seconds)

    def library(self) -> ctypes.CDLL:
        """The loaded library. Raises `LibraryError`, OSError."""
        if self._go is None:
            self._go = load()
        return self._go

    def disconnect(self) -> None:
        """Disconnect, and wait for what has arrived. Blocks while the library dials.

        neonize has confirmed these events to WhatsApp, but not delivered them yet.
        """
        if self._go is None:
            return
        self._go.Disconnect(UUID)
        now = began = time.monotonic()
        while self.connecting and now < min(max(began, self._last_event) + QUIET_SECONDS, began + HANDOVER_SECONDS):
            time.sleep(QUIET_SECONDS / 10)
            now = time.monotonic()

    def stop(self) -> None:
        """Disconnect and let `connect` return (which it never does while pairing). Blocks while the library dials.

        neonize's own stop drops events that it has not delivered yet.
        """
        self.disconnect()
        if self._go is not None:
            self._go.Stop(UUID)

    def is_connected(self) -> bool:
        """Whether the socket is open. Blocks while the library dials."""
        return self._go is not None and bool(self._go.IsConnected(UUID))

    def send(self, jid: bytes, message: bytes) -> bytes:
        """Send a serialised Message to a serialised JID; returns a serialised SendMessageReturnFunction.

        Blocks up to 75 s.
        """
        return self._bytes(self.library().SendMessage(UUID, jid, len(jid), message, len(message)))

    def upload(self, data: "mmap.mmap", media_type: int) -> bytes:
        """Encrypt a file and upload it; returns a serialised UploadReturnFunction. Blocks without a time limit.

        `data` is mapped writable (ctypes needs that to get its address), but not written to.
        """
        start = (ctypes.c_char * len(data)).from_buffer(data)
        try:
            return self._bytes(self.library().Upload(UUID, ctypes.addressof(start), len(data), media_type))
        finally:
            del start  # the map cannot be closed while a pointer into it exists

    def download(self, message: bytes, write: Callable[[memoryview], object]) -> str:
        """Fetch the file of a serialised Message and pass it to `write`; an error or "". Blocks without a time limit.

        The file is not copied: the view is valid only while `write` runs.
        """
        with self._in_place(self.library().DownloadAny(UUID, message, len(message))) as answer:
            error = ""
            for tag, value in fields(answer):
                if tag == _BINARY:
                    write(value)
                elif tag == _ERROR:
                    error = bytes(value).decode(errors="replace")
            return error

    @contextmanager
    def joined_groups(self) -> Iterator[memoryview]:
        """A serialised GetJoinedGroupsReturnFunction, while the context is open. Blocks up to 75 s.

        It has all members of all groups, so it is not copied.
        """
        with self._in_place(self.library().GetJoinedGroups(UUID)) as answer:
            yield answer

    def group_info(self, jid: bytes) -> bytes:
        """A serialised GetGroupInfoReturnFunction for a serialised JID. Blocks up to 75 s."""
        return self._bytes(self.library().GetGroupInfo(UUID, jid, len(jid)))

    def decrypt_vote(self, event: bytes) -> bytes:
        """A serialised ReturnFunctionWithError for the event of a vote. Reads only the session file."""
        return self._bytes(self.library().DecryptPollVote(UUID, event, len(event)))

    def send_presence(self, presence: str) -> str:
        """Announce that the account is "available" or "unavailable"; an error or ""."""
        return self._text(self.library().SendPresence(UUID, presence.encode()))

    def send_chat_presence(self, jid: bytes, state: int) -> str:
        """Show in a chat that the account is typing (0) or paused (1); an error or ""."""
        return self._text(self.library().SendChatPresence(UUID, jid, len(jid), state, 0))

    def mark_read(self, message_id: str, timestamp: int, chat: bytes, sender: bytes) -> str:
        """Report that a message was read, `timestamp` in seconds; an error or "". Blocks up to 75 s."""
        arguments = (message_id.encode(), timestamp, chat, len(chat), sender, len(sender), b"read")
        return self._text(self.library().MarkRead(UUID, *arguments))

    def react_to_post(self, channel: bytes, server_id: int, emoji: str) -> str:
        """React to a post in a channel; an error or ""."""
        arguments = (channel, len(channel), server_id, emoji.encode(), b"")
        return self._text(self.library().NewsletterSendReaction(UUID, *arguments))

    def pair_phone(self, parameters: bytes) -> bytes:
        """Serialised PairPhoneParams in, serialised PairPhoneReturnFunction out. Blocks up to 75 s."""
        return self._bytes(self.library().PairPhone(UUID, parameters, len(parameters)))

    def logout(self) -> str:
        """Remove this device from the account and delete the session; an error or "". Blocks up to 75 s."""
        return self._text(self.library().Logout(UUID))

    def _text(self, pointer: int | None) -> str:
        if not pointer or self._go is None:
            return ""
        try:
            return ctypes.string_at(pointer).decode(errors="replace")
        finally:
            self._go.FreeString(pointer)

    def _bytes(self, pointer: "ctypes._Pointer[Bytes]") -> bytes:
        if not pointer:
            return b""
        try:
            return ctypes.string_at(pointer.contents.data, pointer.contents.size)
        finally:
            self.library().FreeBytesStruct(pointer)

    @contextmanager
    def _in_place(self, pointer: "ctypes._Pointer[Bytes]") -> Iterator[memoryview]:
        if not pointer:
            yield memoryview(b"")
            return
        try:
            answer = pointer.contents
            with memoryview((ctypes.c_char * answer.size).from_address(answer.data or 0)).cast("B") as view:
                yield view
        finally:
            self.library().FreeBytesStruct(pointer)
