"""Reads what a bot's endpoint answered: the one module in which the bytes of a bot become values. Pure.

Whatever is returned here is within the limits of the contract (`bot_runtime/contract/limits.py`), can be stored in
Postgres and can be read again. Texts for people are truncated and freed of control characters; anything else that is
not within the limits raises ProtocolViolationError. Only events are replaced one by one, so that one of them holds up
no others:

- Events that this version cannot read are stored as they are, as `unreadable` in their data: a newer runtime sent them.
- Events beyond the limits, and those of types that only the orchestrator records, are replaced by an event of the type
  `protocol-violation`, which says what was wrong.
"""

from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from bot_runtime import contract
from bot_runtime.contract import EventType
from orchestrator.clients.bot_errors import ProtocolViolationError

T = TypeVar("T", bound=msgspec.Struct)

MIN_RETRY_MS, MAX_RETRY_MS = 100, 3_600_000
"""What a bot may ask for with `retryAfterMs`."""
MAX_UNREADABLE_BYTES = 64 << 10
UNKNOWN_TIME = datetime.min.replace(tzinfo=UTC)
"""The timestamp of an event whose own cannot be read."""
CONTROLLER_SPOOL = "controller-"
"""The spool ids of controllers begin like this (`StatusStore`)."""

_RESERVED = contract.ORCHESTRATOR_EVENTS
_INVALID = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not the expected JSON."""


class ReceivedPage(contract.EventPage, frozen=True):
    """A page of events that were requested."""

    violation: str = ""
    """What was wrong with an event; empty if all were within the limits."""


def read_answer(content: bytes, kind: type[T]) -> T:
    """The answer to a call. Raises ProtocolViolationError."""
    try:
        return _checked(msgspec.json.decode(content, type=kind))
    except _INVALID as exc:
        raise ProtocolViolationError(str(exc)) from exc


def read_error(content: bytes) -> contract.Error:
    """The body of an answer that is not a success. Raises ProtocolViolationError."""
    error = read_answer(content, contract.Error)
    if error.retry_after_ms is None:
        return error
    return msgspec.structs.replace(error, retry_after_ms=min(max(error.retry_after_ms, MIN_RETRY_MS), MAX_RETRY_MS))


def read_page(content: bytes, *, spool: str | None, after: int, limit: int) -> ReceivedPage:
    """A page of events that was requested with these parameters. Raises ProtocolViolationError."""
    page = read_answer(content, _RawPage)
    if page.spool_id.startswith(CONTROLLER_SPOOL):
        raise ProtocolViolationError(f"spool ids that begin with {CONTROLLER_SPOOL!r} are reserved")
    if len(page.items) > limit:
        raise ProtocolViolationError(f"the page has {len(page.items)} events, more than the {limit} requested")
    last = after if spool == page.spool_id else 0
    items, violation = [], ""
    for raw in page.items:
        event, flaw = _event(bytes(raw))
        violation = violation or flaw
        if event is None:
            continue
        if event.seq <= last:
            raise ProtocolViolationError(f"event {event.seq} follows event {last}: the numbers must increase")
        last = event.seq
        items.append(event)
    if page.next < last:
        raise ProtocolViolationError(f"`next` is {page.next}, less than the last number, {last}")
    return ReceivedPage(spool_id=page.spool_id, items=items, next=page.next, violation=violation)


class _RawPage(contract.Wire, frozen=True):
    """`EventPage` whose events are still to be read."""

    spool_id: contract.Identifier
    items: list[msgspec.Raw]
    next: contract.Number


class _Numbered(contract.Wire, frozen=True):
    seq: contract.Number


class _Typed(contract.Wire, frozen=True):
    type: contract.Code


class _Timed(contract.Wire, frozen=True):
    timestamp: datetime


def _event(raw: bytes) -> tuple[contract.Event | None, str]:
    """An event of a page, or the one that replaces it; and what was wrong with it, if it was not within the limits.

    None if it has no number, without which it could not be stored exactly once.
    """
    if len(raw) <= contract.MAX_EVENT_BYTES:
        try:
            event = msgspec.json.decode(raw, type=contract.Event)
        except _INVALID:
            pass
        else:
            return _within_limits(event, contract.flaw_of(event.data))
    # Without its data, which may take fifty times as much memory as its JSON.
    numbered, typed, timed = _part(raw, _Numbered), _part(raw, _Typed), _part(raw, _Timed)
    if numbered is None:
        return None, "an event has no valid number"
    event = contract.Event(
        seq=numbered.seq,
        type="unreadable" if typed is None else typed.type,
        data={"unreadable": raw[:MAX_UNREADABLE_BYTES].decode(errors="replace")},
        timestamp=UNKNOWN_TIME if timed is None else timed.timestamp,
    )
    large = len(raw) > contract.MAX_EVENT_BYTES
    return _within_limits(event, f"it has more than {contract.MAX_EVENT_BYTES} bytes" if large else "")


def _within_limits(event: contract.Event, flaw: str) -> tuple[contract.Event, str]:
    """The event, or the one that replaces it because of a flaw; and the flaw."""
    if event.type in _RESERVED:
        flaw = "only the orchestrator records events of this type"
    if not flaw:
        return event, ""
    data = {"type": event.type, "message": flaw}
    refused = msgspec.structs.replace(event, type=EventType.PROTOCOL_VIOLATION, data=data)
    return refused, f"event {event.seq} ({event.type}): {flaw}"


def _part(raw: bytes, kind: type[T]) -> T | None:
    """Some fields of an event; None if they are not there or not valid."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except _INVALID:
        return None


def _checked(value: T) -> T:
    """The value with its texts cleaned. Raises ProtocolViolationError for times that are not within the limits."""
    changes: dict[str, Any] = {}
    for name in value.__struct_fields__:
        field = getattr(value, name)
        kind = type(field)  # exact types are enough, and this is done for every probe
        if kind is str:
            if not field.isprintable() or len(field) > contract.MAX_TEXT_CHARACTERS:
                changes[name] = _text(field)
        elif kind is datetime:
            if field.tzinfo is None or not contract.EARLIEST <= field < contract.LATEST:
                raise ProtocolViolationError(f"{name} is {field.isoformat()}: expected a time from 1970 to 2099")
        elif isinstance(field, msgspec.Struct) and (inner := _checked(field)) is not field:
            changes[name] = inner
    return msgspec.structs.replace(value, **changes) if changes else value


def _text(text: str) -> str:
    """A text for people: printable, and of limited length."""
    return "".join(char if char.isprintable() else "\ufffd" for char in contract.shortened(text))
