"""The journal: arrivals are written to the volume before anything else happens with them.

neonize confirms an arrival to WhatsApp before it delivers it, so nobody sends it again. The callback therefore makes a
single write(2) to a file here, without fsync: data that the kernel has accepted survives a SIGKILL. The event loop
reads the records back, including those that an earlier process left behind.

A record is the length of its payload, the number of neonize's event (both u32, little-endian) and the payload. A file
that has grown to `FILE_BYTES` is followed by a new one, each process starts with a new file, and files that have been
read completely are removed. So only the end of a file can be torn, by a process that was killed while writing.
"""

import errno
import logging
import os
import sqlite3
import struct
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bot_runtime.storage.sqlite import get_meta, set_meta

log = logging.getLogger(__name__)

FILE_BYTES = 256 << 10
_READ_BYTES = 64 << 10
_HEADER = struct.Struct("<II")
_POSITION = "arrivals"


class Position(NamedTuple):
    """A position in the journal: the number of a file, and the offset in bytes."""

    file: int
    offset: int


class Record(NamedTuple):
    """One arrival: the number of neonize's event, and its protobuf message."""

    code: int
    payload: bytes


class Journal:
    """Files of records in `directory`. `append` may be called on any thread, everything else on the event loop's.

    Reading starts at `start`; files before it are removed. No file is created before the first record.
    """

    def __init__(self, directory: Path, start: Position, *, file_bytes: int = FILE_BYTES) -> None:
        self.start = start
        self._directory = directory
        self._file_bytes = file_bytes
        self._lock = threading.Lock()
        self.first = max([start.file, *self._numbers()]) + 1
        """The first file of this process: earlier files are from earlier processes."""
        self._number = self.first
        """The current or next file to write to. Files before it no longer change."""
        self._writing: int | None = None
        self._size = 0
        self._unwritten: deque[bytes] = deque()
        self.failure: OSError | None = None
        """Why there are arrivals in memory that could not be written."""
        self._reading: tuple[int, int] | None = None
        self.forget(start)

    def append(self, code: int, payload: bytes) -> None:
        """Append one arrival. One that cannot be written is held in memory until `flush`, with those after it."""
        record = _HEADER.pack(len(payload), code) + payload
        with self._lock:
            if not self._unwritten:
                try:
                    self._write(record)
                except OSError as exc:
                    log.error("an arrival cannot be written to the journal, and is lost in a crash: %s", exc)  # noqa: TRY400
                    self.failure = exc
                else:
                    return
            self._unwritten.append(record)

    def flush(self) -> None:
        """Write what could not be written before. Raises OSError when that is still not possible."""
        with self._lock:
            while self._unwritten:
                self._write(self._unwritten[0])
                self._unwritten.popleft()
            self.failure = None

    def read(self, after: Position, limit: int) -> tuple[list[Record], Position]:
        """At most `limit` records, and the position to continue reading from."""
        while True:
            complete = after.file < self._number  # read first: another thread may be writing
            descriptor = self._open(after.file)
            records, end = ([], after) if descriptor is None else _read(descriptor, after, limit)
            if records or not complete:
                return records, end
            if descriptor is not None and (torn := os.fstat(descriptor).st_size - end.offset):
                log.warning("skipping %d bytes of an incomplete arrival: the process was killed while writing it", torn)
            after = Position(min((later for later in self._numbers() if later > after.file), default=self._number), 0)

    def forget(self, before: Position) -> None:
        """Remove the files that end before a position."""
        for number in self._numbers():
            if number < before.file:
                self._path(number).unlink(missing_ok=True)

    def skip(self) -> Position:
        """Continue in a new file; returns the position after all records."""
        with self._lock:
            if self._writing is not None:
                os.close(self._writing)
                self._writing = None
                self._number += 1
            return Position(self._number, 0)

    def _write(self, record: bytes) -> None:
        """Append a record. Raises OSError: then nothing is appended."""
        descriptor = self._writing
        if descriptor is None or self._size >= self._file_bytes:
            descriptor = self._begin()
        written = os.write(descriptor, record)
        if written < len(record):
            os.ftruncate(descriptor, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written

    def _begin(self) -> int:
        self._directory.mkdir(0o700, exist_ok=True)
        number = self._number if self._writing is None else self._number + 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self._path(number), flags, 0o600)
        if self._writing is not None:
            os.close(self._writing)
        self._writing, self._size, self._number = descriptor, 0, number
        return descriptor

    def _open(self, number: int) -> int | None:
        if self._reading is not None:
            if self._reading[0] == number:
                return self._reading[1]
            os.close(self._reading[1])
            self._reading = None
        with suppress(FileNotFoundError):
            self._reading = number, os.open(self._path(number), os.O_RDONLY | os.O_CLOEXEC)
        return self._reading and self._reading[1]

    def _numbers(self) -> list[int]:
        try:
            return [int(path.name) for path in self._directory.iterdir() if path.name.isdecimal()]
        except FileNotFoundError:
            return []

    def _path(self, number: int) -> Path:
        return self._directory / str(number)


def open_journal(directory: Path, store: sqlite3.Connection) -> Journal:
    """Open the journal at the position that `store` has recorded; before anything connects.

    A store without a position is new, or replaces a damaged one. Then it is unknown which arrivals were recorded, and
    none of them is recorded again.
    """
    stored = get_meta(store, _POSITION)
    if stored is not None:
        file, offset = map(int, str(stored).split())
        return Journal(directory, Position(file, offset))
    start = Journal(directory, Position(0, 0)).skip()
    set_position(store, start)
    return Journal(directory, start)


def set_position(store: sqlite3.Connection, position: Position) -> None:
    """Store the position up to which the journal is recorded, as part of the current transaction."""
    set_meta(store, _POSITION, f"{position.file} {position.offset}")


def _read(descriptor: int, after: Position, limit: int) -> tuple[list[Record], Position]:
    data = os.pread(descriptor, _READ_BYTES, after.offset)
    if len(data) == _READ_BYTES < (size := _HEADER.size + _HEADER.unpack_from(data)[0]):
        data = os.pread(descriptor, size, after.offset)
    records: list[Record] = []
    at = 0
    while len(records) < limit and len(data) - at >= _HEADER.size:
        length, code = _HEADER.unpack_from(data, at)
        end = at + _HEADER.size + length
        if end > len(data):
            break
        records.append(Record(code, data[at + _HEADER.size : end]))
        at = end
    return records, Position(after.file, after.offset + at)
