"""The media store: uploaded files as opaque bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

#: The oldest files are deleted when the total size exceeds this.
MAX_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A stored file; its path begins with a slash."""

    path: str
    data: bytes


class Files:
    """The stored files."""

    def __init__(self, files: Iterable[StoredFile] = (), *, max_bytes: int = MAX_BYTES) -> None:
        self._files = {file.path: file for file in files}
        self._size = sum(len(file.data) for file in self._files.values())
        self._max_bytes = max_bytes
        self._touched: dict[str, StoredFile | None] = {}

    def put(self, path: str, data: bytes) -> None:
        """Store a file."""
        self.remove(path)
        self._files[path] = self._touched[path] = StoredFile(path, data)
        self._size += len(data)
        while self._size > self._max_bytes and len(self._files) > 1:
            self.remove(next(iter(self._files)))

    def get(self, path: str) -> bytes | None:
        """The bytes of a file; None if it does not exist or was deleted."""
        file = self._files.get(path.partition("?")[0])
        return file.data if file else None

    def remove(self, path: str) -> None:
        """Delete a file if it exists."""
        file = self._files.pop(path, None)
        if file is not None:
            self._size -= len(file.data)
            self._touched[path] = None

    def take_touched(self) -> dict[str, StoredFile | None]:
        """The files that changed since the last call, by path; None for a deleted file."""
        touched, self._touched = self._touched, {}
        return touched


def file_location(host: str, path: str) -> dict[str, str]:
    """The location of a stored file, in the format of the response to an upload."""
    direct = f"{path}?ccb=1"
    handle = hashlib.sha256(path.encode()).hexdigest()
    return {"url": f"https://{host}{direct}", "direct_path": direct, "handle": handle}
