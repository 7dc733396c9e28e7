"""The files of received messages. References to them are stored on the volume, the files remain with WhatsApp.

WhatsApp stores files for about a month. A reference takes some 300 bytes, and the newest thousands are stored.
"""

import asyncio
import os
import re
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bot_runtime.contract import MAX_MEDIA_BYTES
from bot_runtime.errors import ApiError, is_full
from bot_runtime.files.transfers import Transfers, TransferStoppedError
from bot_runtime.whatsapp.messages import WhatsAppError
from bot_runtime.whatsapp.outgoing import Transport

RETENTION_SECONDS = 30 * 86400.0
MAX_REFERENCES = 5000
MAX_REFERENCE_BYTES = 128 << 10
"""A reference may include a thumbnail; larger references are not stored."""
DOWNLOAD_SECONDS = 120.0
_TIDY_EVERY = 100
_READ_BYTES = 65536
_MIMETYPE = re.compile(r"[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+(; ?[a-z]+=[A-Za-z0-9.+-]+)*")
_GONE = ("status code 403", "status code 404", "status code 410")


@dataclass(frozen=True, slots=True)
class Reference:
    """The file of a received message; the size is as the sender stated it."""

    mimetype: str
    size: int
    file_name: str | None


@dataclass(slots=True, kw_only=True)
class _Fetch:
    """A download, shared by all current readers of the file."""

    task: asyncio.Task[int]
    """Returns the descriptor of an unlinked file."""
    readers: int = 0


class DownloadedFile:
    """One reader of a fetched file; must be closed."""

    def __init__(self, reference: Reference, descriptor: int, release: Callable[[], None]) -> None:
        self.mimetype = reference.mimetype
        self.file_name = reference.file_name
        self.size = os.fstat(descriptor).st_size
        self._descriptor = descriptor
        self._release: Callable[[], None] | None = release
        self._at = 0

    def read(self) -> bytes:
        """The next bytes, empty at the end."""
        data = os.pread(self._descriptor, _READ_BYTES, self._at)
        self._at += len(data)
        return data

    def close(self) -> None:
        """Release the file."""
        if self._release is not None:
            self._release()
            self._release = None


class MediaDownloads:
    """Stores references, and fetches files while somebody reads them.

    Files are stored in `directory` while they are read, unlinked so that nothing remains of them.
    """

    def __init__(
        self,
        store: sqlite3.Connection,
        directory: Path,
        transport: Transport,
        transfers: Transfers,
        *,
        timeout_seconds: float = DOWNLOAD_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._directory = directory
        self._transport = transport
        self._transfers = transfers
        self._timeout_seconds = timeout_seconds
        self._now = now
        self._kept = 0
        self._fetches: dict[str, _Fetch] = {}
        self._tidy()

    @property
    def busy(self) -> bool:
        """Whether a file is being fetched."""
        return bool(self._fetches)

    def keep(self, message_id: str, reference: bytes, *, mimetype: str, size: int, file_name: str | None) -> None:
        """Store how to fetch the file of a message: `reference` is the serialised Message.

        The first message with an id counts: nobody can replace its file.
        """
        if len(reference) > MAX_REFERENCE_BYTES:
            return
        self._store.execute(
            "INSERT OR IGNORE INTO media (message_id, kept, mimetype, size, file_name, reference)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (message_id, self._now(), mimetype, min(size, 2**62), file_name, reference),
        )
        self._kept += 1
        if self._kept % _TIDY_EVERY == 0:
            self._tidy()

    def reference(self, message_id: str) -> Reference:
        """The reference of the file of a message. Raises `ApiError` 404 when there is none."""
        row = self._store.execute(
            "SELECT mimetype, size, file_name FROM media WHERE message_id = ?", (message_id,)
        ).fetchone()
        if row is None:
            raise ApiError(404, "unknown-media", "no message with this id and a file was received in the last 30 days")
        mimetype, size, file_name = row
        safe = mimetype if _MIMETYPE.fullmatch(mimetype) else "application/octet-stream"
        return Reference(safe, size, file_name)

    async def open(self, message_id: str) -> DownloadedFile:
        """Fetch the file of a received message, once for all concurrent readers.

        Raises `ApiError` 404, 410 when WhatsApp has deleted it, 413, 502, 504, 507.
        """
        reference = self.reference(message_id)
        if reference.size > MAX_MEDIA_BYTES:
            raise _too_large(reference.size)
        fetch = self._fetches.get(message_id)
        if fetch is None:
            fetch = _Fetch(task=asyncio.create_task(self._fetch(message_id, reference.size)))
            self._fetches[message_id] = fetch
            fetch.task.add_done_callback(lambda _: self._tidy_fetch(message_id))
        fetch.readers += 1

        def release() -> None:
            fetch.readers -= 1
            self._tidy_fetch(message_id)

        try:
            descriptor = await asyncio.wait_for(asyncio.shield(fetch.task), self._timeout_seconds)
            return DownloadedFile(reference, descriptor, release)
        except BaseException as exc:
            release()
            if isinstance(exc, TimeoutError):
                raise _late() from None
            raise

    async def _fetch(self, message_id: str, size: int) -> int:
        (message,) = self._store.execute("SELECT reference FROM media WHERE message_id = ?", (message_id,)).fetchone()
        descriptor = _unlinked_file(self._directory)
        try:
            await self._transfers.run(size, lambda: self._transport.download(message, descriptor))
            if (fetched := os.fstat(descriptor).st_size) > MAX_MEDIA_BYTES:
                raise _too_large(fetched)
        except BaseException as exc:
            os.close(descriptor)
            raise _api_error(exc) from exc
        return descriptor

    def _tidy_fetch(self, message_id: str) -> None:
        fetch = self._fetches.get(message_id)
        if fetch is None or fetch.readers or not fetch.task.done():
            return
        del self._fetches[message_id]
        if not fetch.task.cancelled() and fetch.task.exception() is None:
            os.close(fetch.task.result())

    def _tidy(self) -> None:
        self._store.execute("DELETE FROM media WHERE kept < ?", (self._now() - RETENTION_SECONDS,))
        self._store.execute(
            "DELETE FROM media WHERE kept < (SELECT kept FROM media ORDER BY kept DESC LIMIT 1 OFFSET ?)",
            (MAX_REFERENCES - 1,),
        )


def _unlinked_file(directory: Path) -> int:
    path = directory / f"{os.urandom(8).hex()}.part"  # if the process crashes here, the next start removes the file
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    path.unlink()
    return descriptor


def _api_error(error: BaseException) -> BaseException:
    if isinstance(error, OSError) and is_full(error):
        return ApiError(507, "disk-full", "the volume of the bot is full")
    if not isinstance(error, WhatsAppError):
        return error
    if isinstance(error, TransferStoppedError):
        return _not_allowed("the file is larger than its message states") if error.too_large else _late()
    if any(words in str(error) for words in _GONE):
        return ApiError(410, "media-gone", "WhatsApp no longer has this file")
    return ApiError(502, "download-failed", f"WhatsApp did not deliver the file: {error}")


def _too_large(size: int) -> ApiError:
    return _not_allowed(f"the file has {size} bytes")


def _not_allowed(what: str) -> ApiError:
    return ApiError(413, "too-large", f"{what}; the maximum is {MAX_MEDIA_BYTES} bytes")


def _late() -> ApiError:
    return ApiError(504, "timeout", "WhatsApp did not deliver the file in time; try again")
