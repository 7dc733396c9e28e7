"""Errors that the HTTP endpoint returns to its caller."""

import errno


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


def is_full(error: OSError) -> bool:
    """Whether a file could not be written because the disk or the quota is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
