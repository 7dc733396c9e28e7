"""Maps errors of a bot's HTTP endpoint to errors of the API."""

import httpx

from orchestrator.clients.bot_errors import ProtocolViolationError, RuntimeCallError, RuntimeUnreachableError
from orchestrator.errors import (
    BotdockError,
    ConflictError,
    InvalidInputError,
    NoAnswerError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
    WhatsAppRefusedError,
)


def from_runtime_error(exc: RuntimeCallError | RuntimeUnreachableError, bot_id: str) -> BotdockError:
    """The API error for a failed call of a bot's endpoint."""
    if isinstance(exc, ProtocolViolationError):
        return UnavailableError(
            f"bot {bot_id!r} sent a response that breaks its protocol: {exc}", code="protocol-violation"
        )
    if isinstance(exc, RuntimeUnreachableError):
        if isinstance(exc.__cause__, httpx.ReadTimeout | TimeoutError):
            return NoAnswerError(f"bot {bot_id!r} did not respond in time: retry later")
        return UnavailableError(
            f"bot {bot_id!r} is unreachable; it may be starting: retry later", code="bot-unreachable"
        )
    match exc.status:
        case 404 | 410:
            return NotFoundError(exc.message, code=exc.code)
        case 409:
            return ConflictError(exc.message, code=exc.code)
        case 413:
            return TooLargeError(exc.message, code=exc.code)
        case 400 | 422:
            return InvalidInputError(exc.message, code=exc.code)
        case 502:
            return WhatsAppRefusedError(exc.message, code=exc.code)
        case 504:
            return NoAnswerError(exc.message, code=exc.code)
        case _:
            return UnavailableError(f"unexpected response of bot {bot_id!r}: {exc.status} {exc.code}", code="bot-error")
