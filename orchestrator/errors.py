"""Every error that Botdock raises on purpose.

    BotdockError                 a stable `code` for programs, a sentence for people
    ├── NotFound                 404  no such bot, server, key
    ├── InvalidInput             422  a value that cannot be accepted
    ├── Unauthorized             401  no key, or not a valid one
    ├── Forbidden                403  the key does not reach this
    ├── Conflict                 409  not in this state
    ├── LimitReached             409  the server has all the bots it may have
    ├── TooLarge                 413  the body is larger than accepted
    ├── TooManyMessages          429  the recipient has got all messages that the rate limit allows for now
    ├── WhatsAppRefused          502  a bot passed the call on and WhatsApp said no
    ├── Unavailable              503  Postgres or a bot cannot be reached now
    ├── NoAnswer                 504  a bot or WhatsApp did not answer in time
    └── SettingsError            the process cannot start like this

The HTTP status is part of the class so that one handler can answer for all of them (`orchestrator/api/errors.py`).
The engine has its own tree (`orchestrator/engine/base.py`), because its errors never reach a caller of the API.
"""

from typing import Any


class BotdockError(Exception):
    """Root of all errors with a message that may be shown to a user."""

    status = 500
    code = "internal"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.extra: dict[str, Any] = {}
        """Further members of the answer's body."""
        if code is not None:
            self.code = code


class NotFound(BotdockError):
    """What the caller named does not exist, or is not theirs to see."""

    status = 404
    code = "not-found"


class InvalidInput(BotdockError):
    """A value was understood and cannot be accepted."""

    status = 422
    code = "invalid-input"


class Unauthorized(BotdockError):
    """No API key was given, or it is unknown or revoked."""

    status = 401
    code = "unauthorized"


class Forbidden(BotdockError):
    """The API key is valid but does not reach this server or this action."""

    status = 403
    code = "forbidden"


class Conflict(BotdockError):
    """The thing is not in a state in which this can be done."""

    status = 409
    code = "conflict"


class LimitReached(BotdockError):
    """A server already has as many bots as `maxBots` allows."""

    status = 409
    code = "limit-reached"


class TooLarge(BotdockError):
    """The request body is larger than accepted."""

    status = 413
    code = "too-large"


class TooManyMessages(BotdockError):
    """The rate limit of a recipient is reached; `retry_after_ms` until there is room again."""

    status = 429
    code = "rate-limited"

    def __init__(self, message: str, *, retry_after_ms: int) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms
        self.extra["retryAfter"] = retry_after_ms


class Unavailable(BotdockError):
    """Something that the answer needs cannot be reached now; trying again may help."""

    status = 503
    code = "unavailable"


class WhatsAppRefused(BotdockError):
    """The bot passed the call on, and WhatsApp said no."""

    status = 502
    code = "whatsapp-refused"


class NoAnswer(BotdockError):
    """The bot or WhatsApp did not answer in time; whether the call took effect is not known."""

    status = 504
    code = "no-answer"


class SettingsError(BotdockError):
    """A setting has a value with which the process cannot start."""

    code = "settings"
