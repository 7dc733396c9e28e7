"""Long polling: list the items after an index, and wait for new ones."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Protocol, TypeVar

from fastapi import Query

from whatsapp_simulator.notifier import Notifier

After = Annotated[int, Query(ge=0, description="Return only items with a higher index")]
Wait = Annotated[float, Query(ge=0, le=60, description="Wait up to this many seconds if there is no item yet")]
Limit = Annotated[int, Query(ge=1, le=5000)]


class Numbered(Protocol):
    """An item with an index."""

    @property
    def index(self) -> int:
        """Higher than the index of the previous item."""


Item = TypeVar("Item", bound=Numbered)


async def since(notifier: Notifier, name: str, items: list[Item], after: int, wait: float) -> list[Item]:
    """The items after an index; if there are none, waits up to `wait` seconds for `name` to be notified of one."""
    deadline = time.monotonic() + wait
    while True:
        # The lists are sorted, and most requests ask for the end.
        start = len(items)
        while start > 0 and items[start - 1].index > after:
            start -= 1
        left = deadline - time.monotonic()
        if start < len(items) or left <= 0:
            return items[start:]
        await notifier.wait(name, left)


def next_after(found: Sequence[Numbered], after: int) -> int:
    """The value to pass as `after` next."""
    return found[-1].index if found else after
