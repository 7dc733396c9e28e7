"""Errors that reach the caller of the HTTP endpoint."""

import errno


class ApiError(Exception):
    """Answered with `status` and a `contract.Error` of `code` and `message`; `retry_after` is in seconds."""

    def __init__(self, status: int, code: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after


def wrong_state(message: str) -> ApiError:
    """409: the bot is in no state to do this now."""
    return ApiError(409, "wrong-state", message)


def is_full(error: OSError) -> bool:
    """Whether a file could not be written for want of room."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
