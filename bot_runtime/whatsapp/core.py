"""The binding to neonize's Go library: load it, connect in a thread of its own, call it.

neonize's Python client is left out on purpose. Importing it brings in pillow, requests, httpx, phonenumbers,
BeautifulSoup and rich, of which a bot that is online needs nothing (20 MiB and half a second per bot); its `connect()`
wakes five times a second and cannot be called twice. What is used here is neonize's compiled library and its protobuf
messages. `neonize.NewClient` stays available to whoever imports it (see `imports.py`), and finds the same connection by
its uuid.

This module imports little more than ctypes, so that the connection is on its way while the rest of the runtime is still
being imported. Everything that blocks is marked so and belongs on a thread.
"""

import ctypes
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bot_runtime.whatsapp.library import Bytes, LibraryError, OnEvent, OnLog, OnText, load

if TYPE_CHECKING:
    import mmap

UUID = b"bot"
"""How the library knows the one client of this process."""

# Numbers neonize gives to its events; only these are sent over from Go.
PAIR_STATUS, CONNECTED, KEEPALIVE_TIMEOUT, KEEPALIVE_RESTORED = 2, 3, 4, 5
LOGGED_OUT, STREAM_REPLACED, TEMPORARY_BAN, CONNECT_FAILURE, CLIENT_OUTDATED = 6, 7, 8, 9, 10
DISCONNECTED, MESSAGE, RECEIPT, CHAT_PRESENCE, PRESENCE, JOINED_GROUP, GROUP_INFO = 12, 17, 18, 19, 20, 21, 22
CALL_OFFER, CALL_ACCEPT, CALL_OFFER_NOTICE, CALL_TERMINATE = 36, 37, 40, 42
WITH_CONTENT = frozenset(
    {
        PAIR_STATUS, LOGGED_OUT, TEMPORARY_BAN, CONNECT_FAILURE, MESSAGE, RECEIPT, CHAT_PRESENCE, PRESENCE,
        JOINED_GROUP, GROUP_INFO, CALL_OFFER, CALL_ACCEPT, CALL_OFFER_NOTICE, CALL_TERMINATE,
    }
)  # fmt: skip
_WITHOUT_CONTENT = (CONNECTED, KEEPALIVE_TIMEOUT, KEEPALIVE_RESTORED, STREAM_REPLACED, CLIENT_OUTDATED, DISCONNECTED)
_SUBSCRIBED = bytes((*WITH_CONTENT, *_WITHOUT_CONTENT))

QUIET_SECONDS = 0.1
"""After a disconnect, when nothing has come through for so long nothing more will."""
HANDOVER_SECONDS = 1.0
"""How long a stop waits for that at most."""

_BINARY, _ERROR = 0x0A, 0x12
"""Tags of the two fields of a DownloadReturnFunction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """What a connection is made with."""

    database: Path
    device: bytes
    """A serialised DeviceProps, shown on the phone when pairing; empty for the library's own."""
    log_level: str
    """DEBUG, INFO, WARN or ERROR: what reaches `on_log`."""


class Core:
    """One WhatsApp client in the Go library.

    The callbacks run on threads of Go's and must not block: `on_event` gets the number of the event and its protobuf
    bytes, `on_qr` the text of a QR code, `on_pairing_end` how the QR phase ended ("success", "timeout" or an error),
    `on_log` the bytes of a LogEntry, `on_end` the error `connect` ended with ("" for none).
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
        # Go calls these for as long as the process lives, also for clients that have been stopped.
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
        """True while a call of `connect` has not come back."""
        return self._thread is not None and self._thread.is_alive()

    def connect(self, dial: Dial) -> None:
        """Start connecting in a new thread; all that follows arrives through the callbacks."""
        self._thread = threading.Thread(target=self._run, args=(dial,), name="whatsapp", daemon=True)
        self._thread.start()

    def _run(self, dial: Dial) -> None:
        try:
            go = self.library()
        except (LibraryError, OSError) as error:
            self._on_end(f"library: {error}")
            return
        ended_with = self._text(
            go.Neonize(
                bytes(dial.database), UUID, b"", 0, 0, dial.log_level.encode(),
                self._qr, self._pairing_end, self._event, self._log,
                _SUBSCRIBED, len(_SUBSCRIBED), dial.device, len(dial.device), b"", 0, None,
            )
        )  # fmt: skip
        self._on_end(ended_with)

    def wait_until_ended(self, seconds: float) -> None:
        """Block until `connect` has come back, or for `seconds`."""
        if self._thread is not None:
            self._thread.join(seconds)

    def library(self) -> ctypes.CDLL:
        """The loaded library. Raises `LibraryError`, OSError."""
        if self._go is None:
            self._go = load()
        return self._go

    def stop(self) -> None:
        """Disconnect and let `connect` come back (while pairing it never does). Blocks while a dial is under way.

        neonize's own stop forgets what it has confirmed and not handed over yet; that comes through before.
        """
        if self._go is None:
            return
        self._go.Disconnect(UUID)
        now = began = time.monotonic()
        while self.connecting and now < min(max(began, self._last_event) + QUIET_SECONDS, began + HANDOVER_SECONDS):
            time.sleep(QUIET_SECONDS / 10)
            now = time.monotonic()
        self._go.Stop(UUID)

    def is_connected(self) -> bool:
        """Whether the socket is open. Blocks while a dial is under way."""
        return self._go is not None and bool(self._go.IsConnected(UUID))

    def send(self, jid: bytes, message: bytes) -> bytes:
        """Send a serialised Message to a serialised JID; a serialised SendMessageReturnFunction. Blocks up to 75 s."""
        return self._bytes(self.library().SendMessage(UUID, jid, len(jid), message, len(message)))

    def upload(self, data: "mmap.mmap", media_type: int) -> bytes:
        """Encrypt a file and bring it to WhatsApp's servers; a serialised UploadReturnFunction. Blocks for long.

        `data` is mapped for writing (that is how ctypes gets its address), and is not written.
        """
        start = (ctypes.c_char * len(data)).from_buffer(data)
        try:
            return self._bytes(self.library().Upload(UUID, ctypes.addressof(start), len(data), media_type))
        finally:
            del start  # the map cannot be closed while anything points into it

    def download(self, message: bytes, write: Callable[[memoryview], object]) -> str:
        """Fetch the file of a serialised Message and hand it to `write`; an error or "". Blocks for long.

        The file is not copied: it may only be used while `write` runs.
        """
        pointer = self.library().DownloadAny(UUID, message, len(message))
        try:
            answer = pointer.contents
            with memoryview((ctypes.c_char * answer.size).from_address(answer.data or 0)).cast("B") as view:
                return _read_download(view, write)
        finally:
            self.library().FreeBytesStruct(pointer)

    def joined_groups(self) -> bytes:
        """A serialised GetJoinedGroupsReturnFunction. Blocks up to 75 s."""
        return self._bytes(self.library().GetJoinedGroups(UUID))

    def group_info(self, jid: bytes) -> bytes:
        """A serialised GetGroupInfoReturnFunction for a serialised JID. Blocks up to 75 s."""
        return self._bytes(self.library().GetGroupInfo(UUID, jid, len(jid)))

    def decrypt_vote(self, event: bytes) -> bytes:
        """A serialised ReturnFunctionWithError for the event of a vote. Asks only the session file."""
        return self._bytes(self.library().DecryptPollVote(UUID, event, len(event)))

    def send_presence(self, presence: str) -> str:
        """Tell that the account is "available" or "unavailable"; an error or ""."""
        return self._text(self.library().SendPresence(UUID, presence.encode()))

    def send_chat_presence(self, jid: bytes, state: int) -> str:
        """Tell a chat that the account is typing (0) or paused (1); an error or ""."""
        return self._text(self.library().SendChatPresence(UUID, jid, len(jid), state, 0))

    def mark_read(self, message_id: str, timestamp: int, chat: bytes, sender: bytes) -> str:
        """Tell that a message was read at a time in seconds; an error or "". Blocks up to 75 s."""
        arguments = (message_id.encode(), timestamp, chat, len(chat), sender, len(sender), b"read")
        return self._text(self.library().MarkRead(UUID, *arguments))

    def react_to_post(self, channel: bytes, server_id: int, emoji: str) -> str:
        """React to the post of a channel; an error or ""."""
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


def _read_download(answer: memoryview, write: Callable[[memoryview], object]) -> str:
    """Read a DownloadReturnFunction, `{bytes Binary = 1; string Error = 2}`, where it lies.

    Python's protobuf would make two more copies of the file.
    """
    error, at = "", 0
    while at < len(answer):
        tag, size, shift = answer[at], 0, 0
        while True:
            at += 1
            size |= (answer[at] & 0x7F) << shift
            shift += 7
            if answer[at] < 0x80:
                break
        start, at = at + 1, at + 1 + size
        if tag == _BINARY:
            write(answer[start:at])
        elif tag == _ERROR:
            error = bytes(answer[start:at]).decode(errors="replace")
    return error
