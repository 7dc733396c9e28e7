"""Every error that Botdock raises on purpose.

    BotdockError                 a stable `code` for programs, a sentence for people
    ├── NotFoundError            404  no such bot, server or key
    ├── InvalidInputError        422  a value that is not acceptable
    ├── UnauthorizedError        401  no API key, or an invalid one
    ├── ForbiddenError           403  the API key does not allow this
    ├── ConflictError            409  not possible in the current state
    ├── LimitReachedError        409  the server already has `maxBots` bots
    ├── SlowRequestError         408  the body does not arrive in time
    ├── TooLargeError            413  the body is too large
    ├── TooManyMessagesError     429  the rate limit of the recipient is reached
    ├── TooManyRequestsError     429  too many requests of one server at the same time
    ├── WhatsAppRefusedError     502  the bot passed the call on and WhatsApp refused it
    ├── UnavailableError         503  Postgres or a bot is unavailable
    ├── QuotaError               507  a bot or server has too much waiting
    ├── NoAnswerError            504  a bot or WhatsApp did not answer in time
    └── SettingsError            the process cannot start with these settings

The HTTP status is part of the class, so that one handler can answer all of them (`orchestrator/api/errors.py`).
The engine has its own tree (`orchestrator/engine/base.py`), because its errors never reach a caller of the API.
"""

from typing import Any


class BotdockError(Exception):
    """Root of all errors with a message that may be shown to a user."""

    status = 500
    code = "internal-error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.extra: dict[str, Any] = {}
        """Additional members of the response body."""
        if code is not None:
            self.code = code


class NotFoundError(BotdockError):
    """The named resource does not exist, or is not visible to the caller."""

    status = 404
    code = "not-found"


class InvalidInputError(BotdockError):
    """A value is well-formed but not acceptable."""

    status = 422
    code = "invalid-input"


class UnauthorizedError(BotdockError):
    """No API key was given, or it is unknown or revoked."""

    status = 401
    code = "unauthorized"


class ForbiddenError(BotdockError):
    """The API key is valid but has no access to this server or action."""

    status = 403
    code = "forbidden"


class ConflictError(BotdockError):
    """The resource is in a state that does not allow this."""

    status = 409
    code = "conflict"


class LimitReachedError(BotdockError):
    """A server already has as many bots as `maxBots` allows."""

    status = 409
    code = "limit-reached"


class TooLargeError(BotdockError):
    """The request body is larger than accepted."""

    status = 413
    code = "too-large"


class SlowRequestError(BotdockError):
    """The body of a request did not arrive in time."""

    status = 408
    code = "body-timeout"


class TooManyRequestsError(BotdockError):
    """Too many requests of one server are being handled at the same time."""

    status = 429
    code = "too-many-requests"


class TooManyMessagesError(BotdockError):
    """The rate limit of a recipient is reached until `retry_after_ms` from now."""

    status = 429
    code = "rate-limited"

    def __init__(self, message: str, *, retry_after_ms: int) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms
        self.extra["retryAfter"] = retry_after_ms


class UnavailableError(BotdockError):
    """Something that the request needs is unavailable; retrying may help."""

    status = 503
    code = "unavailable"


class QuotaError(BotdockError):
    """So much of a bot or a server waits already that nothing more is accepted."""

    status = 507
    code = "queue-full"


class WhatsAppRefusedError(BotdockError):
    """The bot passed the call on, and WhatsApp refused it."""

    status = 502
    code = "whatsapp-refused"


class NoAnswerError(BotdockError):
    """The bot or WhatsApp did not answer in time; whether the call took effect is not known."""

    status = 504
    code = "no-answer"


class SettingsError(BotdockError):
    """A setting has a value that prevents the process from starting."""

    code = "settings"
