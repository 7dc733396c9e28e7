"""The media store: what clients upload and download, as bytes that it does not look into."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

#: The oldest files go when there are more bytes than this.
KEPT_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file under its path (which begins with a slash)."""

    path: str
    data: bytes


class Files:
    """The stored files; `removed` and `touched` are for the state file."""

    def __init__(self, files: Iterable[StoredFile] = (), *, kept_bytes: int = KEPT_BYTES) -> None:
        self._files = {file.path: file for file in files}
        self._size = sum(len(file.data) for file in self._files.values())
        self._kept_bytes = kept_bytes
        self._touched: dict[str, StoredFile | None] = {}

    def put(self, path: str, data: bytes) -> None:
        """Store a file."""
        self.remove(path)
        self._files[path] = self._touched[path] = StoredFile(path, data)
        self._size += len(data)
        while self._size > self._kept_bytes and len(self._files) > 1:
            self.remove(next(iter(self._files)))

    def get(self, path: str) -> bytes | None:
        """The bytes of a file; None if there is none, or no more."""
        file = self._files.get(path.partition("?")[0])
        return file.data if file else None

    def remove(self, path: str) -> None:
        """Delete a file, if it is there."""
        file = self._files.pop(path, None)
        if file is not None:
            self._size -= len(file.data)
            self._touched[path] = None

    def take_touched(self) -> dict[str, StoredFile | None]:
        """What changed since the last call; None for a file that is gone."""
        touched, self._touched = self._touched, {}
        return touched


def place(host: str, path: str) -> dict[str, str]:
    """Where a stored file is, as the answer to an upload says it."""
    direct = f"{path}?ccb=1"
    handle = hashlib.sha256(path.encode()).hexdigest()
    return {"url": f"https://{host}{direct}", "direct_path": direct, "handle": handle}
