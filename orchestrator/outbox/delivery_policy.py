"""Which messages to send now, and what a bot's answer means for a message. Pure: no I/O, no clock of its own.

The guarantee is at-most-once delivery that never fails silently: a message whose outcome is unknown stays `sending` and
is requested again under the same id, which the bot answers from its own record. Only an answer of the bot itself means
that a message was not sent. If that record is gone with the bot's volume, the message fails with `outcome-unknown`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

from orchestrator.states import MessageState

FIRST_DELAY_SECONDS = 1.0
MAX_DELAY_SECONDS = 30.0
OFFLINE_DELAY_SECONDS = 5.0
"""Until a bot that was not online is asked again, unless it comes online earlier."""
LIMITED_DELAY_SECONDS = 1.0
"""When a bot reports that its rate limit is reached, but not until when."""
MAX_ERRORS = 10
"""Unexpected answers after which a message fails."""
OUTCOME_UNKNOWN = "outcome-unknown"
UNCONFIRMED = "unconfirmed"
EXPIRED = "expired"
RATE_LIMITED = "rate-limited"
UPLOAD_MISSING = "upload-missing"
GRACE = timedelta(hours=24)
"""How long after its expiry the outcome of a message is still requested. Bots remember requests for seven days, which
must not be less than the longest expiry and this together: an older message could be sent twice."""

_NEVER = {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The first pending message of a chat."""

    id: str
    chat: str
    state: MessageState
    created_at: datetime
    next_attempt_at: datetime | None
    attempted_on: str | None = None
    """Spool id of the volume of the bot that was asked, while the outcome is unknown."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What to do with a bot's messages now."""

    send: list[Head]
    fail: list[tuple[Head, str]]
    """Messages that can never be sent, each with the reason."""
    wake_after_seconds: float | None
    """Until a waiting message may be sent; None if none waits for a time."""


def choose(
    heads: Sequence[Head], *, busy: Collection[str], room: int, volume: str | None, now: datetime, expiry: timedelta
) -> Choice:
    """Decide about the first messages of a bot's chats.

    `busy` are the chats with a message in flight, `room` is how many more may be, `volume` is the spool id of the bot's
    current volume, None while the bot is not online: then nothing is sent, and only expired messages fail.
    """
    send: list[Head] = []
    fail: list[tuple[Head, str]] = []
    waits: list[float] = []
    for head in heads:
        if head.chat in busy:
            continue
        due = head.next_attempt_at
        remaining = (head.created_at + expiry - now).total_seconds()
        if reason := _failure_reason(head, remaining, volume):
            fail.append((head, reason))
        elif volume is None:
            waits.append(remaining)
        elif due is not None and due > now:
            waits.append((due - now).total_seconds())
        elif len(send) < room:
            send.append(head)
    return Choice(send, fail, min(waits, default=None))


def _failure_reason(head: Head, remaining_seconds: float, volume: str | None) -> str | None:
    """Why a message can never be sent; None if it can. It expires in `remaining_seconds`."""
    if head.state is MessageState.QUEUED:
        return EXPIRED if remaining_seconds <= 0 else None
    asked_elsewhere = volume is not None and head.attempted_on != volume
    forgotten = remaining_seconds <= -GRACE.total_seconds() or (remaining_seconds <= 0 and volume is None)
    return OUTCOME_UNKNOWN if asked_elsewhere or forgotten else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The bot reports that the message was sent."""

    whatsapp_id: str
    unconfirmed: bool = False
    """The bot exited or lost the connection before WhatsApp acknowledged the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The bot answered with an error."""

    status: int
    code: str
    message: str
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoResponse:
    """No answer arrived. `asked`: the bot may have received the request."""

    message: str
    asked: bool


Answer = Sent | Refused | NoResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """The next state of a message."""

    state: MessageState
    reason: str = ""
    detail: str = ""
    delay_seconds: float = 0.0
    """Until the next attempt, for a pending message."""


def judge(answer: Answer, *, asked_before: bool, attempts: int) -> Next:
    """The next state of a message after an answer to its `attempts`-th attempt.

    `asked_before`: the outcome of an earlier attempt is unknown.
    """
    match answer:
        case Sent(unconfirmed=True):
            return Next(state=MessageState.SENT, reason=UNCONFIRMED, detail="WhatsApp has not acknowledged it yet")
        case Sent():
            return Next(state=MessageState.SENT)
        case NoResponse():
            unknown = answer.asked or asked_before
            return Next(
                state=MessageState.SENDING if unknown else MessageState.QUEUED,
                reason="no-answer" if unknown else "bot-unreachable",
                detail=answer.message,
                delay_seconds=_backoff(attempts),
            )
        case Refused(code=code) if code == OUTCOME_UNKNOWN and answer.status == HTTPStatus.CONFLICT:
            return _failed(answer)
        case Refused(status=HTTPStatus.TOO_MANY_REQUESTS):
            delay = LIMITED_DELAY_SECONDS if answer.retry_after_ms is None else answer.retry_after_ms / 1000
            return _retry(answer, MessageState.QUEUED, delay)
        case Refused(status=HTTPStatus.CONFLICT, code=code) if code == UPLOAD_MISSING:
            return _retry(answer, MessageState.QUEUED, _backoff(attempts))
        case Refused(status=HTTPStatus.CONFLICT):
            return _retry(answer, MessageState.QUEUED, OFFLINE_DELAY_SECONDS)
        case Refused(status=HTTPStatus.GATEWAY_TIMEOUT):
            return _retry(answer, MessageState.SENDING, _backoff(attempts))
        case Refused(status=HTTPStatus.BAD_GATEWAY):
            return _failed(answer)
        case Refused(status=status) if status in _NEVER:
            return _failed(answer)
        case Refused():
            # Not in the contract (a bug, a full disk, another version): retried, but must not block the chat for ever.
            if attempts >= MAX_ERRORS:
                return _failed(answer)
            state = MessageState.SENDING if asked_before or answer.status >= 500 else MessageState.QUEUED
            return _retry(answer, state, _backoff(attempts))


def _failed(answer: Refused) -> Next:
    return Next(state=MessageState.FAILED, reason=answer.code, detail=answer.message)


def _retry(answer: Refused, state: MessageState, delay_seconds: float) -> Next:
    return Next(state=state, reason=answer.code, detail=answer.message, delay_seconds=delay_seconds)


def _backoff(attempts: int) -> float:
    return float(min(FIRST_DELAY_SECONDS * 2.0 ** min(max(attempts, 1) - 1, 16), MAX_DELAY_SECONDS))
