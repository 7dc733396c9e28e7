"""The files of a bot, and the lock that gives a session a single owner.

{auth root}/{serverName}/bot_{botId}/     0700
    session.db     the WhatsApp device session (written by neonize)
    session.ended  present once WhatsApp has ended the session, until the next start removes both
    runtime.db     spool of events, log of sent messages
    arrivals/      journal of arrivals that are not recorded yet
    config.json    the current configuration
    files/         uploaded files
    session.lock   held while a runtime uses the directory
"""

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


class SessionInUseError(Exception):
    """Another process holds the session's lock."""


@dataclass(frozen=True, slots=True)
class SessionDirectory:
    """The paths of the files of one bot."""

    path: Path

    @property
    def database(self) -> Path:
        return self.path / "session.db"

    @property
    def ended(self) -> Path:
        return self.path / "session.ended"

    @property
    def store(self) -> Path:
        return self.path / "runtime.db"

    @property
    def arrivals(self) -> Path:
        return self.path / "arrivals"

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def files(self) -> Path:
        return self.path / "files"

    @property
    def lock(self) -> Path:
        return self.path / "session.lock"


def prepare_directory(auth_root: Path, server_name: str, bot_id: str) -> SessionDirectory:
    """Create the directory of the bot, readable by nobody else. Raises OSError when the volume is not writable."""
    path = auth_root / server_name / f"bot_{bot_id}"
    for directory in (path.parent, path):
        with suppress(FileExistsError):
            directory.mkdir(0o700)
        directory.chmod(0o700)
    return SessionDirectory(path)


def acquire_lock(directory: SessionDirectory, inherited: int | None = None) -> int:
    """Acquire the lock of the session; returns its descriptor, which holds the lock until the process ends.

    `inherited` is the descriptor that a restart in place passed on: the lock is never released in between.
    Raises `SessionInUseError`.
    """
    descriptor = inherited
    if descriptor is None:
        descriptor = os.open(directory.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise SessionInUseError(f"{directory.lock} is held by another process") from None
    return descriptor


def remove_ended_session(directory: SessionDirectory) -> None:
    """Remove a session that WhatsApp has ended (`SessionDirectory.ended`), so that the bot pairs again. Raises OSError.

    Only while nothing has the file open. whatsmeow deletes the session too, but after it has reported the end, and not
    while the file is locked.
    """
    if not directory.ended.exists():
        return
    for suffix in ("-wal", "-shm", "-journal", ""):
        directory.database.with_name(directory.database.name + suffix).unlink(missing_ok=True)
    directory.ended.unlink()
