"""The limits of what a bot answers. The runtime keeps to them, and the orchestrator refuses what does not: a bot may be
compromised, and one api serves the bots of all tenants.

Identifiers, numbers and times have a form. Texts for people have none, so the orchestrator truncates them instead.
"""

from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta

MAX_ANSWER_BYTES = 64 << 10
"""Of the JSON of any answer but a page of events."""
MAX_EVENTS_PER_PAGE = 500
PAGE_BYTES = 1 << 20
"""A page of events ends with the event that exceeds this size."""
MAX_EVENT_BYTES = 512 << 10
"""Of one event as JSON."""
MAX_PAGE_BYTES = PAGE_BYTES + MAX_EVENT_BYTES + MAX_EVENTS_PER_PAGE * 256
"""Of the JSON of a page of events."""
MAX_EVENT_DEPTH = 32
"""Of objects and lists within each other in the data of an event."""
MAX_EVENT_VALUES = 20_000
"""Of values in the data of an event, in all objects and lists together."""
MAX_TEXT_CHARACTERS = 1000
"""Of a text for people, such as the message of an error."""
MAX_DESCRIPTION_CHARACTERS = 4096
"""Of the description of a group."""

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
"""Times are in this range: a clock may be wrong, but other times cannot be stored and read everywhere."""

MAX_INT32 = (1 << 31) - 1
MAX_INT64 = (1 << 63) - 1
MAX_UINT64 = (1 << 64) - 1
Count = Annotated[int, Meta(ge=0, le=MAX_INT32)]
Number = Annotated[int, Meta(ge=0, le=MAX_INT64)]
"""What a column of Postgres takes, as above."""
Code = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}\Z")]
"""A word for programs: the code of an error, a state, the type of an event."""
Identifier = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
Digits = Annotated[str, Meta(pattern=r"^[0-9]{1,32}\Z")]
MessageId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:@-]{1,128}\Z")]
GroupId = Annotated[str, Meta(pattern=r"^[0-9]{1,32}(-[0-9]{1,32})?@g\.us\Z")]
ChatId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,64}@[a-z.]{1,32}\Z")]
"""`…@g.us` of a group, `…@lid` or `…@s.whatsapp.net` of a member."""


def shortened(text: str, characters: int = MAX_TEXT_CHARACTERS) -> str:
    """A text for people, truncated to at most so many characters."""
    return text if len(text) <= characters else text[: characters - 1] + "…"


def flaw_of(value: Any) -> str:
    """What is wrong with the data of an event that was decoded from JSON; empty if it is within the limits."""
    values, level = 0, [value]
    for _ in range(MAX_EVENT_DEPTH):
        inner: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is dict:
                inner += item.values()
            elif kind is list:
                inner += item
            elif kind is int and not -MAX_INT64 <= item <= MAX_UINT64:
                return "its data has a number of more than 64 bits"
        if not inner:
            return ""
        values += len(inner)
        if values > MAX_EVENT_VALUES:
            return f"its data has more than {MAX_EVENT_VALUES} values"
        level = inner
    return f"its data is nested more than {MAX_EVENT_DEPTH} levels deep"
