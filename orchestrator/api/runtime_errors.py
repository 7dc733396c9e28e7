"""Maps errors of a bot's HTTP endpoint to errors of the API."""

import httpx

from orchestrator.clients.bot import RuntimeCallError, RuntimeUnreachable
from orchestrator.errors import (
    BotdockError,
    Conflict,
    InvalidInput,
    NoAnswer,
    NotFound,
    TooLarge,
    Unavailable,
    WhatsAppRefused,
)


def from_runtime_error(exc: RuntimeCallError | RuntimeUnreachable, bot_id: str) -> BotdockError:
    """The API error for a failed call of a bot's endpoint."""
    if isinstance(exc, RuntimeUnreachable):
        if isinstance(exc.__cause__, httpx.ReadTimeout):
            return NoAnswer(f"bot {bot_id!r} did not respond in time: retry later")
        return Unavailable(f"bot {bot_id!r} is unreachable; it may be starting: retry later", code="bot-unreachable")
    match exc.status:
        case 404 | 410:
            return NotFound(exc.message, code=exc.code)
        case 409:
            return Conflict(exc.message, code=exc.code)
        case 413:
            return TooLarge(exc.message, code=exc.code)
        case 400 | 422:
            return InvalidInput(exc.message, code=exc.code)
        case 502:
            return WhatsAppRefused(exc.message, code=exc.code)
        case 504:
            return NoAnswer(exc.message, code=exc.code)
        case _:
            return Unavailable(f"unexpected response of bot {bot_id!r}: {exc.status} {exc.code}", code="bot-error")
