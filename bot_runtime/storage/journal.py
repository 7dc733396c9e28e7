"""What arrived, on the volume before anything else is done about it.

neonize has confirmed an arrival to WhatsApp before it hands it over, so nobody sends it again. The callback therefore
does one thing: one write(2) to a file here, without fsync, because what the kernel has a SIGKILL does not take away.
The event loop reads the records back, also those that a process before this one left behind.

A record is the length of its payload, the number of neonize's event (both u32, little-endian) and the payload. A file
that has grown to `FILE_BYTES` is followed by another one, each process begins with a file of its own, and what has been
read to its end is removed. So only the end of a file can be torn, by a process that was killed while it wrote.
"""

import errno
import logging
import os
import sqlite3
import struct
import threading
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
    """A place in the journal: the number of a file, and bytes from its beginning."""

    file: int
    offset: int


class Record(NamedTuple):
    """One arrival: the number of neonize's event, and its protobuf message."""

    code: int
    payload: bytes


class Journal:
    """Files of records in `directory`. `append` may be called on any thread, all else belongs to the event loop's.

    `start` is where reading begins; what lies before it is removed. Nothing is made before the first record comes.
    """

    def __init__(self, directory: Path, start: Position, *, file_bytes: int = FILE_BYTES) -> None:
        self.start = start
        self._directory = directory
        self._file_bytes = file_bytes
        self._lock = threading.Lock()
        self.first = max([start.file, *self._numbers()]) + 1
        """The file that this process begins with: what others left lies before it."""
        self._number = self.first
        """The file that is written to, or will be. No file before it changes any more."""
        self._writing: int | None = None
        self._size = 0
        self._reading: tuple[int, int] | None = None
        self.forget(start)

    def append(self, code: int, payload: bytes) -> None:
        """Keep one arrival. Raises OSError when the disk is full: then it is not kept."""
        record = _HEADER.pack(len(payload), code) + payload
        with self._lock:
            descriptor = self._writing
            if descriptor is None or self._size >= self._file_bytes:
                descriptor = self._begin()
            written = os.write(descriptor, record)
            if written < len(record):
                os.ftruncate(descriptor, self._size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._size += written

    def read(self, after: Position, limit: int) -> tuple[list[Record], Position]:
        """At most `limit` records, and the position behind them; without records the one to go on from."""
        while True:
            complete = after.file < self._number  # looked at first: another thread may be writing
            descriptor = self._open(after.file)
            records, end = ([], after) if descriptor is None else _read(descriptor, after, limit)
            if records or not complete:
                return records, end
            if descriptor is not None and (torn := os.fstat(descriptor).st_size - end.offset):
                log.warning("%d bytes of an arrival are there: the process died while it wrote them", torn)
            after = Position(min((later for later in self._numbers() if later > after.file), default=self._number), 0)

    def forget(self, before: Position) -> None:
        """Remove the files that end before a position."""
        for number in self._numbers():
            if number < before.file:
                self._path(number).unlink(missing_ok=True)

    def skip(self) -> Position:
        """Go on in another file; a position behind all that there is."""
        with self._lock:
            if self._writing is not None:
                os.close(self._writing)
                self._writing = None
                self._number += 1
            return Position(self._number, 0)

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
    """The journal, to be read from where `store` has recorded it to; before anything connects.

    A store that knows no position is new, or takes the place of a damaged one. Then nobody knows what of the journal
    was recorded before, and nothing of it is recorded again.
    """
    kept = get_meta(store, _POSITION)
    if kept is not None:
        file, offset = map(int, str(kept).split())
        return Journal(directory, Position(file, offset))
    start = Journal(directory, Position(0, 0)).skip()
    set_position(store, start)
    return Journal(directory, start)


def set_position(store: sqlite3.Connection, position: Position) -> None:
    """Record how far the journal has been recorded, as part of the running transaction."""
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
