"""Lists that grow: items after an index, and waiting for one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Protocol, TypeVar

from fastapi import Query

from whatsapp_simulator.bell import Bell

After = Annotated[int, Query(ge=0, description="Only items with a higher index")]
Wait = Annotated[float, Query(ge=0, le=60, description="Wait up to this many seconds for an item")]
Limit = Annotated[int, Query(ge=1, le=5000)]


class Numbered(Protocol):
    """An item of such a list."""

    @property
    def index(self) -> int:
        """Higher than that of the item before."""


Item = TypeVar("Item", bound=Numbered)


async def since(bell: Bell, name: str, items: list[Item], after: int, wait: float) -> list[Item]:
    """The items after an index; waits until the bell rings for `name` and there is one, or the time is over."""
    deadline = time.monotonic() + wait
    while True:
        # The lists are in order and mostly asked for their end.
        start = len(items)
        while start > 0 and items[start - 1].index > after:
            start -= 1
        left = deadline - time.monotonic()
        if start < len(items) or left <= 0:
            return items[start:]
        await bell.wait(name, left)


def next_after(found: Sequence[Numbered], after: int) -> int:
    """What to pass as `after` next."""
    return found[-1].index if found else after
