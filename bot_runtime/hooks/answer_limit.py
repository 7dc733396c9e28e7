"""Limits how often a bot answers a chat by itself: otherwise two bots could answer each other forever. Pure."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

WINDOW_SECONDS = 600.0
CHATS = 1000


@dataclass(slots=True)
class _Chat:
    answered: deque[float] = field(default_factory=deque)
    quiet: bool = False


class AnswerLimit:
    """Counts answers by chat within a sliding window, for the most recently answered chats."""

    def __init__(
        self, *, window_seconds: float = WINDOW_SECONDS, chats: int = CHATS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._window_seconds = window_seconds
        self._max_chats = chats
        self._clock = clock
        self._chats: OrderedDict[str, _Chat] = OrderedDict()

    def take(self, chat: str, limit: int) -> bool:
        """Whether the chat may be answered once more; if so, the answer is counted."""
        now = self._clock()
        seen = self._chats.setdefault(chat, _Chat())
        self._chats.move_to_end(chat)
        if len(self._chats) > self._max_chats:
            self._chats.popitem(last=False)
        while seen.answered and seen.answered[0] <= now - self._window_seconds:
            seen.answered.popleft()
        if len(seen.answered) >= limit:
            return False
        seen.answered.append(now)
        seen.quiet = False
        return True

    def first_refusal(self, chat: str) -> bool:
        """Whether this is the first refused answer since the last one that the chat received."""
        seen = self._chats.setdefault(chat, _Chat())
        first, seen.quiet = not seen.quiet, True
        return first
