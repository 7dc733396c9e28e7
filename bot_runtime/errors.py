"""Errors that the HTTP endpoint returns to its caller, and what errors of the volume mean."""

import errno
import sqlite3


class ApiError(Exception):
    """Returned as `status` with a `contract.Error` of `code` and `message`."""

    def __init__(self, status: int, code: str, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_seconds = retry_after_seconds


def wrong_state(message: str) -> ApiError:
    """409: the current state of the bot does not allow this."""
    return ApiError(409, "wrong-state", message)


def is_full(error: BaseException) -> bool:
    """Whether something could not be written because the disk or the quota is full."""
    if isinstance(error, sqlite3.Error):
        return _code(error) == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_unavailable(error: sqlite3.Error) -> bool:
    """Whether a file could not be read or written just now, which does not mean that its content is damaged."""
    return _code(error) in _UNAVAILABLE


def is_damaged(error: BaseException | None) -> bool:
    """Whether the content of a file is damaged."""
    return isinstance(error, sqlite3.Error) and _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


_UNAVAILABLE = frozenset(
    {
        sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED,
    }
)  # fmt: skip


def _code(error: sqlite3.Error) -> int:
    """The primary result code; 0 for errors that are not SQLite's own."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
