"""Uploaded files, stored on the volume until their message has been sent.

A file is received under a temporary name and renamed when it is complete and synced, so a crash at any time leaves a
complete file or none. Files that are not sent are removed after a day, or when all files together grow too large.
"""

import asyncio
import itertools
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from bot_runtime.contract import MAX_MEDIA_BYTES
from bot_runtime.errors import ApiError, is_full

RETENTION_SECONDS = 86400.0
MAX_TOTAL_BYTES = 4 * MAX_MEDIA_BYTES
_CLIENT_ID = re.compile("[A-Za-z0-9_-]{1,64}")
_PART = ".part"
_WRITE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Upload:
    """A complete file, and its size in bytes."""

    path: Path
    size: int


class UploadStore:
    """The files in `directory`, by the client id of their message."""

    def __init__(self, directory: Path, *, now: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._now = now
        self._parts = itertools.count()
        directory.mkdir(mode=0o700, exist_ok=True)
        for part in directory.glob(f"*{_PART}"):
            part.unlink()
        self._make_room()

    def find(self, client_id: str) -> Upload | None:
        """The file of a message; None when there is none."""
        path = self._directory / client_id
        try:
            return Upload(path, path.stat().st_size)
        except FileNotFoundError:
            return None

    def discard(self, client_id: str) -> None:
        """Remove the file of a message, if there is one."""
        (self._directory / client_id).unlink(missing_ok=True)

    async def receive(self, client_id: str, chunks: AsyncIterator[bytes], *, size: int | None) -> None:
        """Store a file; an earlier one of the same message is replaced. `size` is the announced size, if any.

        Raises `ApiError` 400 for a bad id or an empty file, 413 when it is too large, 507 when the volume is full.
        """
        if not _CLIENT_ID.fullmatch(client_id):
            raise ApiError(400, "malformed", "a client id is 1 to 64 characters of A-Z, a-z, 0-9, _ and -")
        if size is not None and size > MAX_MEDIA_BYTES:
            raise _too_large()
        part = self._directory / f"{client_id}.{next(self._parts)}{_PART}"
        try:
            await self._write(part, chunks)
            part.replace(self._directory / client_id)
        except OSError as exc:
            if is_full(exc):
                raise ApiError(507, "disk-full", "the volume of the bot is full") from exc
            raise
        finally:
            part.unlink(missing_ok=True)
        self._make_room(keep=client_id)

    async def _write(self, part: Path, chunks: AsyncIterator[bytes]) -> None:
        received, buffer = 0, bytearray()
        with part.open("xb", buffering=0) as file:
            async for chunk in chunks:
                received += len(chunk)
                if received > MAX_MEDIA_BYTES:
                    raise _too_large()
                buffer += chunk
                if len(buffer) >= _WRITE_BYTES:
                    await asyncio.to_thread(_write_all, file.fileno(), bytes(buffer))
                    buffer.clear()
            if not received:
                raise ApiError(400, "empty-file", "the file is empty")
            await asyncio.to_thread(_write_all, file.fileno(), bytes(buffer))
            await asyncio.to_thread(os.fsync, file.fileno())

    def _make_room(self, keep: str = "") -> None:
        """Remove files that are too old, and the oldest while all together are too large."""
        files = [(entry.stat(), entry) for entry in self._directory.iterdir() if entry.suffix != _PART]
        total = sum(stat.st_size for stat, _ in files)
        for stat, path in sorted(files, key=lambda file: file[0].st_mtime):
            too_old = stat.st_mtime < self._now() - RETENTION_SECONDS
            if path.name != keep and (too_old or total > MAX_TOTAL_BYTES):
                path.unlink(missing_ok=True)
                total -= stat.st_size


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _too_large() -> ApiError:
    return ApiError(413, "too-large", f"a file may be at most {MAX_MEDIA_BYTES} bytes")
