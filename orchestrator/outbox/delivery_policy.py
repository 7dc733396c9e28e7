"""Which messages go now, and what an answer of the bot means for one. Pure: no I/O, no clock of its own.

The promise behind it is at most once, and never silently: a message whose outcome is not known stays `sending` and is
asked for again under the same id, which the bot answers with what it recorded. Only an answer of the bot itself says
that a message was not sent. Where the record is gone with the bot's volume, the message has failed: `outcome-unknown`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

from orchestrator.states import MessageState

FIRST_DELAY = 1.0
MAX_DELAY = 30.0
AWAY_DELAY = 5.0
"""Seconds until a bot that was not online is asked again; when it is seen to come online it is asked at once."""
LIMITED_DELAY = 1.0
"""When a bot that has no room left does not say when it will have."""
MAX_ERRORS = 10
"""Answers that make no sense until a message has failed."""
OUTCOME_UNKNOWN = "outcome-unknown"
UNCONFIRMED = "unconfirmed"
EXPIRED = "expired"
RATE_LIMITED = "rate-limited"
UPLOAD_MISSING = "upload-missing"
GRACE = timedelta(hours=24)
"""How long after its expiry a message is still asked about. Bots remember what they were asked for seven days, no less
than the longest expiry and this together: an older one might be sent again."""

_NEVER = {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The first message of a chat that is not done."""

    id: str
    chat: str
    state: MessageState
    created_at: datetime
    next_attempt_at: datetime | None
    attempted_on: str | None = None
    """Spool id of the volume of the bot that was asked, while the outcome is not known."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What to do about a bot's messages now."""

    send: list[Head]
    fail: list[tuple[Head, str]]
    """Messages that can never be sent, each with the reason."""
    wake_after: float | None
    """Seconds until a message that has to wait may go; None: nothing waits for a time."""


def choose(
    heads: Sequence[Head], *, busy: Collection[str], room: int, volume: str | None, now: datetime, expiry: timedelta
) -> Choice:
    """Decide about the first messages of a bot's chats.

    `busy` are the chats in which one is under way, `room` is how many more may be, `volume` is the spool id of the
    bot's present volume, None while the bot is not online: then nothing is sent, and only what has expired fails.
    """
    send: list[Head] = []
    fail: list[tuple[Head, str]] = []
    waits: list[float] = []
    for head in heads:
        if head.chat in busy:
            continue
        due = head.next_attempt_at
        left = (head.created_at + expiry - now).total_seconds()
        if reason := _hopeless(head, left, volume):
            fail.append((head, reason))
        elif volume is None:
            waits.append(left)
        elif due is not None and due > now:
            waits.append((due - now).total_seconds())
        elif len(send) < room:
            send.append(head)
    return Choice(send, fail, min(waits, default=None))


def _hopeless(head: Head, left: float, volume: str | None) -> str | None:
    """Why a message can never be sent; None when it can. `left` seconds remain until it expires."""
    if head.state is MessageState.QUEUED:
        return EXPIRED if left <= 0 else None
    asked_elsewhere = volume is not None and head.attempted_on != volume
    forgotten = left <= -GRACE.total_seconds() or (left <= 0 and volume is None)
    return OUTCOME_UNKNOWN if asked_elsewhere or forgotten else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The bot says that the message has gone out."""

    whatsapp_id: str
    unconfirmed: bool = False
    """The bot has handed the message over, and ended or lost the connection before WhatsApp's answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The bot answered with an error."""

    status: int
    code: str
    message: str
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoResponse:
    """No answer came. `asked`: the bot may have got the request."""

    message: str
    asked: bool


Answer = Sent | Refused | NoResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What becomes of a message."""

    state: MessageState
    reason: str = ""
    detail: str = ""
    delay: float = 0.0
    """Seconds until the next attempt, for a message that is not done."""


def judge(answer: Answer, *, asked_before: bool, attempts: int) -> Next:
    """What an answer means for a message that has been attempted `attempts` times, this one included.

    `asked_before`: an earlier attempt ended without a known outcome.
    """
    match answer:
        case Sent(unconfirmed=True):
            return Next(state=MessageState.SENT, reason=UNCONFIRMED, detail="WhatsApp has not confirmed it yet")
        case Sent():
            return Next(state=MessageState.SENT)
        case NoResponse():
            unknown = answer.asked or asked_before
            return Next(
                state=MessageState.SENDING if unknown else MessageState.QUEUED,
                reason="no-answer" if unknown else "bot-unreachable",
                detail=answer.message,
                delay=_backoff(attempts),
            )
        case Refused(code=code) if code == OUTCOME_UNKNOWN and answer.status == HTTPStatus.CONFLICT:
            return _failed(answer)
        case Refused(status=HTTPStatus.TOO_MANY_REQUESTS):
            delay = LIMITED_DELAY if answer.retry_after_ms is None else answer.retry_after_ms / 1000
            return _again(answer, MessageState.QUEUED, delay)
        case Refused(status=HTTPStatus.CONFLICT, code=code) if code == UPLOAD_MISSING:
            return _again(answer, MessageState.QUEUED, _backoff(attempts))
        case Refused(status=HTTPStatus.CONFLICT):
            return _again(answer, MessageState.QUEUED, AWAY_DELAY)
        case Refused(status=HTTPStatus.GATEWAY_TIMEOUT):
            return _again(answer, MessageState.SENDING, _backoff(attempts))
        case Refused(status=HTTPStatus.BAD_GATEWAY):
            return _failed(answer)
        case Refused(status=status) if status in _NEVER:
            return _failed(answer)
        case Refused():
            # Not in the agreement (a bug, a full disk, another version): worth some tries, not a chat for ever.
            if attempts >= MAX_ERRORS:
                return _failed(answer)
            state = MessageState.SENDING if asked_before or answer.status >= 500 else MessageState.QUEUED
            return _again(answer, state, _backoff(attempts))


def _failed(answer: Refused) -> Next:
    return Next(state=MessageState.FAILED, reason=answer.code, detail=answer.message)


def _again(answer: Refused, state: MessageState, delay: float) -> Next:
    return Next(state=state, reason=answer.code, detail=answer.message, delay=delay)


def _backoff(attempts: int) -> float:
    return float(min(FIRST_DELAY * 2.0 ** min(max(attempts, 1) - 1, 16), MAX_DELAY))
